package dev.reprise;

import dev.reprise.natives.loader.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;

/**
 * A program that loads the native library and says from which file, or why it could not; and where tests get a library
 * from that is another version, or none.
 */
final class FirstLoad {
    private FirstLoad() {}

    public static void main(String[] arguments) {
        try {
            System.out.println(Backend.describe().libraryFile());
        } catch (RepriseException e) {
            System.out.println(e.code() + " " + e.getMessage());
        }
    }

    /** What it says when it is run alone. */
    static String tell(List<String> flags) throws IOException, InterruptedException {
        return tell(ChildJvm.builder(flags, System.getProperty("java.class.path"), FirstLoad.class));
    }

    /** As {@link #tell(List)}; newer JVMs warn of a temporary directory that does not exist, the point here. */
    static String tellWithoutTemporaryDirectory(List<String> flags) throws IOException, InterruptedException {
        return tell(ChildJvm.builder(flags, System.getProperty("java.class.path"), FirstLoad.class)
                .redirectError(ProcessBuilder.Redirect.DISCARD));
    }

    /** Its last line; the JVM writes warnings to standard output too. */
    static String tell(ProcessBuilder builder) throws IOException, InterruptedException {
        builder.environment().remove("XDG_CACHE_HOME");
        return last(ChildJvm.run(builder));
    }

    static String last(ChildJvm.Result result) {
        String[] lines = result.out().strip().split("\n");
        return lines[lines.length - 1];
    }

    /** A class path on which {@code folder} comes first, as a jar that was installed there. */
    static String classPathWith(Path folder) {
        return folder + ":" + System.getProperty("java.class.path");
    }

    /** Puts a library into {@code folder} as into a jar: this one with one byte changed, so of the same size. */
    static void putOtherVersion(Path folder) throws IOException {
        Path library = put(folder, NativeLibrary.load().classifier());
        byte[] bytes = Files.readAllBytes(library);
        byte[] message = "MODEL_FORMAT\0".getBytes();  // reprise_status_name(), which Java does not ask
        for (int at = 0; at + message.length <= bytes.length; at++) {
            if (Arrays.equals(bytes, at, at + message.length, message, 0, message.length)) {
                bytes[at] = 'm';
                Files.write(library, bytes);
                return;
            }
        }
        throw new AssertionError("no text to change in " + library);
    }

    /** Puts files that are no libraries into {@code folder}. */
    static void putBrokenLibraries(Path folder) throws IOException {
        for (String classifier : List.of("linux-x86_64", "linux-x86_64-cuda")) {
            Files.writeString(put(folder, classifier), "no library");
        }
    }

    private static Path put(Path folder, String classifier) throws IOException {
        String name = "dev/reprise/natives/" + classifier + "/libjnireprise.so";
        Path library = folder.resolve(name);
        Files.createDirectories(library.getParent());
        try (var in = FirstLoad.class.getClassLoader().getResourceAsStream(name)) {
            if (in != null) {
                Files.copy(in, library, StandardCopyOption.REPLACE_EXISTING);
            }
        }
        return library;
    }

    /** The names below a folder, without what JavaCPP has there. */
    static List<String> files(Path folder) throws IOException {
        try (var files = Files.walk(folder)) {
            return files.filter(file -> !file.equals(folder) && !file.endsWith("javacpp"))
                    .map(file -> folder.relativize(file).toString()).sorted().toList();
        }
    }
}
