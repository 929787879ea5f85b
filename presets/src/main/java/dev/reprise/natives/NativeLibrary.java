package dev.reprise.natives;

import java.io.File;
import org.bytedeco.javacpp.Loader;

/**
 * The loaded native library. {@link #load()} comes before the first use of {@link reprise} or of a structure.
 *
 * @param file where the library was loaded from: a file of JavaCPP's cache, or one on {@code java.library.path}
 * @param classifier the artifact it comes from: {@code linux-x86_64} or {@code linux-x86_64-cuda}; the plain name of
 *     the platform if it was found on {@code java.library.path}
 */
public record NativeLibrary(String file, String classifier) {
    private static NativeLibrary loaded;
    private static UnsatisfiedLinkError failure;

    /**
     * Loads the library with CUDA if its jar is present, else the one without.
     *
     * @return the library, the same at every call
     * @throws UnsatisfiedLinkError if there is none for this platform, it cannot be unpacked, or it does not belong to
     *     these classes; the message says what to do, and is the same at every call
     */
    public static synchronized NativeLibrary load() {
        if (loaded == null && failure == null) {
            try {
                loaded = loadOnce();
            } catch (UnsatisfiedLinkError e) {
                failure = e;
            }
        }
        if (failure != null) {
            throw withCause(failure.getMessage(), failure);
        }
        return loaded;
    }

    private static NativeLibrary loadOnce() {
        String platform = Loader.getPlatform();
        String file;
        try {
            file = Loader.load(reprise.class);
        } catch (UnsatisfiedLinkError e) {
            throw withCause(explain(platform, e), e);
        }
        int found = reprise.reprise_abi_version();
        if (found != reprise.REPRISE_ABI_VERSION) {
            throw new UnsatisfiedLinkError(
                    file + " has interface version " + found + ", these classes need " + reprise.REPRISE_ABI_VERSION
                            + ": use the same version of dev.reprise:reprise and of every dev.reprise:reprise-natives.");
        }
        File directory = new File(file).getParentFile();
        boolean unpacked = directory != null && directory.getName().startsWith(platform);
        return new NativeLibrary(file, unpacked ? directory.getName() : platform);
    }

    private static String explain(String platform, UnsatisfiedLinkError error) {
        if (!"linux-x86_64".equals(platform)) {
            return "Reprise has no native library for the platform " + platform + "; there is one for linux-x86_64.";
        }
        String resource = "dev/reprise/natives/" + platform + "/" + System.mapLibraryName("jnireprise");
        if (NativeLibrary.class.getClassLoader().getResource(resource) == null) {
            return "The native library of Reprise for " + platform + " is not on the class path or module path: add "
                    + "dev.reprise:reprise-natives with the classifier " + platform + ".";
        }
        return "The native library of Reprise for " + platform + " could not be loaded: " + error.getMessage();
    }

    private static UnsatisfiedLinkError withCause(String message, Throwable cause) {
        UnsatisfiedLinkError error = new UnsatisfiedLinkError(message);
        error.initCause(cause);
        return error;
    }
}
