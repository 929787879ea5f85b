package dev.reprise.natives.loader;

import dev.reprise.natives.reprise;
import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.bytedeco.javacpp.Loader;

/**
 * The loaded native library. {@link #load()} comes before the first use of {@link reprise} or of a structure.
 *
 * @param file where the library was loaded from: a file of JavaCPP's cache, or one on {@code java.library.path}
 * @param classifier the artifact it comes from: {@code linux-x86_64} or {@code linux-x86_64-cuda}; the plain name of
 *     the platform if it was found on {@code java.library.path}
 * @param skipped why the library with CUDA was not loaded although its jar is present; null if it was, or there is none
 */
public record NativeLibrary(String file, String classifier, String skipped) {
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
            loadInThreadOfItsOwn();
        }
        if (failure != null) {
            throw withCause(failure.getMessage(), failure);
        }
        return loaded;
    }

    /**
     * JavaCPP locks its cache by a channel that an interrupt closes, and a class that failed to initialise stays
     * failed: so that nobody's interrupt ends the library for the whole process, it is loaded where nobody interrupts.
     */
    private static void loadInThreadOfItsOwn() {
        FutureTask<NativeLibrary> loading = new FutureTask<>(NativeLibrary::loadOnce);
        Thread thread = new Thread(loading, "reprise-load");
        thread.setDaemon(true);
        thread.start();
        boolean interrupted = false;
        try {
            while (loaded == null && failure == null) {
                try {
                    loaded = loading.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (ExecutionException e) {
                    if (e.getCause() instanceof UnsatisfiedLinkError error) {
                        failure = error;
                    } else if (e.getCause() instanceof Error error) {
                        throw error;
                    } else {
                        throw new IllegalStateException(
                                "loading the native library of Reprise failed: " + e.getCause(), e.getCause());
                    }
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static NativeLibrary loadOnce() {
        doNotCountTheProcessMemory();
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
                    file + " has interface version " + found + ", these classes need "
                            + reprise.REPRISE_ABI_VERSION
                            + ": use the same version of dev.reprise:reprise and of every "
                            + "dev.reprise:reprise-natives.");
        }
        File directory = new File(file).getParentFile();
        boolean unpacked = directory != null && directory.getName().startsWith(platform);
        String classifier = unpacked ? directory.getName() : platform;
        String cuda = platform + "-cuda";
        URL present = resource(cuda);
        boolean passedOver = present != null && !classifier.equals(cuda);
        return new NativeLibrary(file, classifier, passedOver ? cuda + ": " + whyNot(present) : null);
    }

    /**
     * Unless told otherwise, JavaCPP refuses to allocate the smallest structure while the process has more than four
     * times the Java heap resident. Weights are resident and the heap is small.
     */
    private static void doNotCountTheProcessMemory() {
        if (System.getProperty("org.bytedeco.javacpp.maxphysicalbytes") == null
                && System.getProperty("org.bytedeco.javacpp.maxPhysicalBytes") == null) {
            System.setProperty("org.bytedeco.javacpp.maxPhysicalBytes", "0");
        }
    }

    /** The loader only goes on to the next library when one fails; loading it again tells why it did. */
    private static String whyNot(URL library) {
        try {
            System.load(Loader.cacheResource(library).getAbsolutePath());
            return "loaded at the second try";
        } catch (IOException | UnsatisfiedLinkError e) {
            return e.getMessage();
        }
    }

    private static URL resource(String classifier) {
        String name = "dev/reprise/natives/" + classifier + "/" + System.mapLibraryName("jnireprise");
        return NativeLibrary.class.getClassLoader().getResource(name);
    }

    private static String explain(String platform, UnsatisfiedLinkError error) {
        if (!"linux-x86_64".equals(platform)) {
            return "Reprise has no native library for the platform " + platform + "; there is one for linux-x86_64.";
        }
        if (resource(platform) == null && resource(platform + "-cuda") == null) {
            return "The native library of Reprise for " + platform + " is not on the class path or module path: add "
                    + "dev.reprise:reprise-natives with the classifier " + platform + ".";
        }
        return "The native library of Reprise for " + platform + " could not be loaded: "
                + innermost(error).getMessage() + ". If that is because of the folder it was unpacked to, "
                + "choose another one with -Dorg.bytedeco.javacpp.cachedir=FOLDER.";
    }

    /** What the loader tried first and why that failed is the last of the causes. */
    private static Throwable innermost(Throwable error) {
        Throwable cause = error;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause;
    }

    private static UnsatisfiedLinkError withCause(String message, Throwable cause) {
        UnsatisfiedLinkError error = new UnsatisfiedLinkError(message);
        error.initCause(cause);
        return error;
    }
}
