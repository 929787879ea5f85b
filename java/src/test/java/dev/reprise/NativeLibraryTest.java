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
        ChildJvm.Result result = ChildJvm.run(List.of("-Dorg.bytedeco.javacpp.cachedir=" + cache), InterruptedFirstLoad.class);
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

    /** Damaged in the cache, with the size and the date that it had. */
    @Test
    void aLibraryThatCannotBeLoadedSaysWhyAndWhatToDo(@TempDir Path cache) throws IOException, InterruptedException {
        List<String> flags = List.of("-Dorg.bytedeco.javacpp.cachedir=" + cache);
        Path file = Path.of(ChildJvm.run(flags, FirstLoad.class).out().strip());
        assertTrue(file.startsWith(cache), file.toString());
        FileTime date = Files.getLastModifiedTime(file);
        Files.write(file, new byte[(int) Files.size(file)]);
        Files.setLastModifiedTime(file, date);

        String message = ChildJvm.run(flags, FirstLoad.class).out();
        assertTrue(message.contains("could not be loaded: " + file) && message.contains("invalid ELF header"), message);
        assertTrue(message.contains("-Dorg.bytedeco.javacpp.cachedir=FOLDER"), message);
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
