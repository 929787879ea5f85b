package dev.reprise.natives.loader;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.bytedeco.javacpp.Pointer;

/**
 * Loads a library with JavaCPP's glue in it. That initialises {@link Pointer}, unless another user of JavaCPP in this
 * class loader has already, which reads its settings once and looks for JavaCPP's own library in JavaCPP's cache.
 */
final class JavaCpp {
    private static final String PROPERTIES = "org.bytedeco.javacpp.";
    /** One for all class loaders of the process, as system properties are. */
    private static final Object PROPERTIES_LOCK = (JavaCpp.class.getName() + " sets properties").intern();

    private JavaCpp() {}

    /**
     * As {@link System#load}. The settings hold while it runs, and only those that the application has not made.
     *
     * @param privateFolder for JavaCPP's cache
     */
    static void load(Path library, Path privateFolder) throws IOException {
        if (Pointer.class.getClassLoader() != JavaCpp.class.getClassLoader()) {
            throw new UnsatisfiedLinkError(
                    "org.bytedeco:javacpp is in another class loader than dev.reprise:reprise-natives, where its "
                            + "native methods cannot be linked: put both in the same place");
        }
        synchronized (PROPERTIES_LOCK) {
            Map<String, String> settings = new TreeMap<>();
            // Else JavaCPP refuses to allocate the smallest structure while the process has more than four times the
            // Java heap resident. Weights are resident and the heap is small.
            if (!isSet("maxphysicalbytes") && !isSet("maxPhysicalBytes")) {
                settings.put(PROPERTIES + "maxPhysicalBytes", "0");
            }
            // Else it makes a folder in the home directory; without one, a predictable folder in the temporary or the
            // working directory, where another user may have put what it then loads.
            if (!isSet("cachedir") && !isSet("cacheDir") && !hasCacheAtHome()) {
                Path cache = PrivateFolder.within(privateFolder, "javacpp");
                settings.put(PROPERTIES + "cacheDir", cache.toString());
            }
            settings.forEach(System::setProperty);
            try {
                System.load(library.toString());
            } finally {
                settings.keySet().forEach(System::clearProperty);
            }
        }
    }

    private static boolean isSet(String name) {
        return System.getProperty(PROPERTIES + name) != null;
    }

    /** Another use of JavaCPP by this user has made it, where no other user can put what JavaCPP then loads. */
    private static boolean hasCacheAtHome() {
        try {
            Path home = Path.of(System.getProperty("user.home", ""));
            Path cache = home.resolve(".javacpp").resolve("cache");
            return home.isAbsolute() && Files.isWritable(cache) && PrivateFolder.isOutOfReachOfOthers(cache);
        } catch (InvalidPathException e) {
            return false;
        }
    }
}
