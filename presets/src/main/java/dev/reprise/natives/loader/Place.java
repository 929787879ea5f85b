package dev.reprise.natives.loader;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Where the library may be unpacked to.
 *
 * @param name for people
 * @param opener makes the private folder there, or says why it cannot
 */
record Place(String name, Opener opener) {
    /** The system property that names a folder. */
    static final String OPTION = "dev.reprise.cache";

    interface Opener {
        Path open() throws IOException;
    }

    /** In the order they are tried: the option's, the user's cache, the temporary directory. */
    static List<Place> all() {
        List<Place> places = new ArrayList<>();
        String chosen = System.getProperty(OPTION, "");
        if (!chosen.isEmpty()) {
            places.add(new Place(chosen, () -> PrivateFolder.in(path(chosen), "reprise")));
        }
        String xdg = System.getenv().getOrDefault("XDG_CACHE_HOME", "");
        if (xdg.startsWith("/")) {  // a relative one is to be ignored, says the specification
            places.add(new Place(xdg, () -> PrivateFolder.in(path(xdg), "reprise")));
        }
        String home = System.getProperty("user.home", "");
        places.add(new Place(home + "/.cache", () -> PrivateFolder.in(absolute(home).resolve(".cache"), "reprise")));
        String temporary = System.getProperty("java.io.tmpdir", "");
        places.add(new Place(temporary, () -> PrivateFolder.anyIn(absolute(temporary), "reprise-natives-")));
        return places;
    }

    /** What the JVM takes from the environment is no name of a folder where there is none: {@code ?}, for example. */
    private static Path absolute(String folder) throws IOException {
        Path path = path(folder);
        if (!path.isAbsolute() || path.getNameCount() == 0) {
            throw new IOException("there is no such folder: '" + folder + "'");
        }
        return path;
    }

    private static Path path(String folder) throws IOException {
        try {
            return Path.of(folder);
        } catch (InvalidPathException e) {
            throw new IOException("no name of a folder: " + e.getMessage(), e);
        }
    }
}
