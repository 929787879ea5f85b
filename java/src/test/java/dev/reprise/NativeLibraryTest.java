package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.natives.loader.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativeLibraryTest {
    @Test
    void isLoadedOnceAndSaysFromWhere() {
        NativeLibrary library = NativeLibrary.load();
        assertSame(library, NativeLibrary.load());
        assertTrue(Files.isRegularFile(Path.of(library.file())), library.file());
        assertTrue(library.file().contains("/" + library.classifier() + "/"), library.toString());
    }

    /** A fresh cache, which JavaCPP locks while it unpacks: an interrupt would close the lock's channel. */
    @Test
    void anInterruptDuringTheFirstLoadDoesNoHarm(@TempDir Path cache) throws IOException, InterruptedException {
        ChildJvm.Result result = ChildJvm.run(
                List.of("-Dorg.bytedeco.javacpp.cachedir=" + cache), InterruptedFirstLoad.class);
        assertEquals(0, result.exitCode(), result.out());
    }

    static final class InterruptedFirstLoad {
        public static void main(String[] args) {
            Thread loading = Thread.currentThread();
            loading.interrupt();
            Thread interrupting = new Thread(() -> {
                while (true) {
                    loading.interrupt();
                }
            });
            interrupting.setDaemon(true);
            interrupting.start();
            NativeLibrary.load();
            if (!Thread.interrupted()) {
                throw new AssertionError("the interrupt was lost");
            }
        }
    }

    /** Every one there is, damaged in the cache, with the size and the date that it had. */
    @Test
    void aLibraryThatCannotBeLoadedSaysWhyAndWhatToDo(@TempDir Path cache) throws IOException, InterruptedException {
        List<String> flags = List.of("-Dorg.bytedeco.javacpp.cachedir=" + cache);
        String told = lastLine(ChildJvm.run(flags, FirstLoad.class));
        assertTrue(told.startsWith(cache.toString()), told);
        // Behind one with CUDA there is one without, which is unpacked where the first fails.
        for (int i = 0; i < 2 && told.startsWith(cache.toString()); i++) {
            damageLibraries(cache);
            told = lastLine(ChildJvm.run(flags, FirstLoad.class));
        }
        assertTrue(told.contains("could not be loaded: " + cache) && told.contains("invalid ELF header"), told);
        assertTrue(told.contains("-Dorg.bytedeco.javacpp.cachedir=FOLDER"), told);
    }

    private static void damageLibraries(Path cache) throws IOException {
        try (Stream<Path> files = Files.find(cache, 20, (file, attributes) -> file.toString().endsWith(".so"))) {
            for (Path file : files.toList()) {
                FileTime date = Files.getLastModifiedTime(file);
                Files.write(file, new byte[(int) Files.size(file)]);
                Files.setLastModifiedTime(file, date);
            }
        }
    }

    /** The JVM writes warnings to standard output too. */
    private static String lastLine(ChildJvm.Result result) {
        String[] lines = result.out().strip().split("\n");
        return lines[lines.length - 1];
    }

    static final class FirstLoad {
        public static void main(String[] args) {
            try {
                System.out.println(NativeLibrary.load().file());
            } catch (UnsatisfiedLinkError e) {
                System.out.println(e.getMessage());
            }
        }
    }

    @Test
    void structuresCanBeAllocatedWhateverTheProcessHasResident() {
        NativeLibrary.load();
        assertEquals(0, Pointer.maxPhysicalBytes(), "JavaCPP refuses allocations beyond this much resident memory");
        try (IntPointer four = new IntPointer(1, 2, 3, 4)) {
            assertEquals(4, four.get(3));
        }
    }
}
