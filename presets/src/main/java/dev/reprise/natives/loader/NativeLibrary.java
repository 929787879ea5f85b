package dev.reprise.natives.loader;

import dev.reprise.natives.reprise;
import java.io.IOException;
import java.net.URL;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.bytedeco.javacpp.Loader;

/**
 * The loaded native library. {@link #load()} comes before the first use of {@link reprise} or of a structure.
 *
 * @param file where the library was loaded from. The second class loader of a process to load it does so from a copy
 *     that is removed as soon as it is loaded, so there may be no such file any more.
 * @param classifier the artifact it comes from: {@code linux-x86_64} or {@code linux-x86_64-cuda}
 * @param skipped why the library with CUDA was not loaded although its jar is present; null if it was, or there is none
 */
public record NativeLibrary(String file, String classifier, String skipped) {
    private static NativeLibrary loaded;

    /**
     * Loads the library with CUDA if its jar is present, else the one without.
     *
     * @return the library, the same at every call
     * @throws UnsatisfiedLinkError if there is none for this platform, it cannot be unpacked or loaded, or it does not
     *     belong to these classes; the message says what was tried and what to do. Another call tries again.
     */
    public static synchronized NativeLibrary load() {
        if (loaded == null) {
            loaded = loadInThreadOfItsOwn();
        }
        return loaded;
    }

    /**
     * Where nobody interrupts, which would close the files in use, and without a context class loader, which
     * {@link LoaderCleaner} would hold.
     */
    private static NativeLibrary loadInThreadOfItsOwn() {
        FutureTask<NativeLibrary> loading = new FutureTask<>(NativeLibrary::find);
        Thread thread = new Thread(loading, "reprise-load");
        thread.setDaemon(true);
        thread.setContextClassLoader(null);
        thread.start();
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return loading.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (ExecutionException e) {
                    throw failure(e.getCause());
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static UnsatisfiedLinkError failure(Throwable cause) {
        String message = cause instanceof UnsatisfiedLinkError
                ? cause.getMessage() : "The native library of Reprise could not be loaded: " + cause;
        UnsatisfiedLinkError failure = new UnsatisfiedLinkError(message);
        failure.initCause(cause);
        return failure;
    }

    private static NativeLibrary find() {
        String platform = Loader.getPlatform();
        if (!"linux-x86_64".equals(platform)) {
            throw new UnsatisfiedLinkError(
                    "Reprise has no native library for the platform " + platform + "; there is one for linux-x86_64.");
        }
        List<String> failures = new ArrayList<>();
        for (String classifier : List.of(platform + "-cuda", platform)) {
            URL library = NativeLibrary.class.getClassLoader().getResource(
                    "dev/reprise/natives/" + classifier + "/" + System.mapLibraryName("jnireprise"));
            if (library == null) {
                continue;
            }
            List<String> tried = new ArrayList<>();
            Path file = load(library, tried);
            if (file != null) {
                requireSameInterface(file);
                LoaderCleaner.start();
                return new NativeLibrary(file.toString(), classifier, failures.isEmpty() ? null : failures.get(0));
            }
            failures.add(classifier + ": " + String.join("; ", tried));
        }
        if (failures.isEmpty()) {
            throw new UnsatisfiedLinkError("The native library of Reprise for " + platform
                    + " is not on the class path or "
                    + "module path: add dev.reprise:reprise-natives with the classifier " + platform + ".");
        }
        throw new UnsatisfiedLinkError("The native library of Reprise for " + platform + " could not be loaded. Tried "
                + String.join(". Tried ", failures)
                        + ". If that is because of the folders, name one of your own with -D"
                + Place.OPTION + "=FOLDER, on a file system that has room and is not mounted noexec.");
    }

    /**
     * From the first place where that is possible; null if there is none. Adds to {@code tried} what was in the way.
     */
    private static Path load(URL library, List<String> tried) {
        for (Place place : Place.all()) {
            try {
                Path folder = place.opener().open();
                Path file = load(library, folder);
                tidy(folder);
                return file;
            } catch (IOException e) {
                tried.add(place.name() + " (" + why(e) + ")");
            } catch (UnsatisfiedLinkError | IllegalCallerException e) {
                tried.add(place.name() + " (" + e.getMessage() + ")");
            }
        }
        return null;
    }

    private static Path load(URL library, Path folder) throws IOException {
        UnpackedLibrary unpacked = new UnpackedLibrary(folder, library);
        Path file = unpacked.file();
        try {
            JavaCpp.load(file, folder);
            return file;
        } catch (UnsatisfiedLinkError e) {
            if (!isInUseByAnotherClassLoader(e)) {
                throw e;
            }
        }
        Path copy = unpacked.copy();
        try {
            JavaCpp.load(copy, folder);
            return copy;
        } finally {
            Files.delete(copy);  // what is loaded stays until the class loader goes
        }
    }

    /** The JVM's own words, which no locale changes. It takes a file once, and so does the dynamic linker. */
    private static boolean isInUseByAnotherClassLoader(UnsatisfiedLinkError error) {
        return String.valueOf(error.getMessage()).toLowerCase(Locale.ROOT)
                .contains("already loaded in another classloader");
    }

    /** The library is loaded. That old files stay is no reason to fail. */
    private static void tidy(Path folder) {
        try {
            UnpackedLibrary.tidy(folder);
        } catch (IOException e) {
            System.getLogger("dev.reprise").log(System.Logger.Level.DEBUG, "cannot tidy " + folder, e);
        }
    }

    private static String why(IOException failure) {
        if (failure instanceof AccessDeniedException) {
            return failure.getMessage() + ": access denied";
        } else if (failure instanceof FileSystemException e && e.getReason() == null) {
            return failure.getMessage() + ": " + failure.getClass().getSimpleName();
        }
        return failure.getMessage();
    }

    private static void requireSameInterface(Path file) {
        int found;
        try {
            found = reprise.reprise_abi_version();
        } catch (UnsatisfiedLinkError e) {
            throw new UnsatisfiedLinkError(file + " is no library of Reprise: " + e.getMessage());
        }
        if (found != reprise.REPRISE_ABI_VERSION) {
            throw new UnsatisfiedLinkError(
                    file + " has interface version " + found + ", these classes need "
                            + reprise.REPRISE_ABI_VERSION
                            + ": use the same version of dev.reprise:reprise and of every "
                            + "dev.reprise:reprise-natives.");
        }
    }
}
