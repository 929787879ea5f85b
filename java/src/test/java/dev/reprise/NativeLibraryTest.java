package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.natives.loader.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
        assertTrue(List.of("linux-x86_64", "linux-x86_64-cuda").contains(library.classifier()), library.toString());
    }

    /** A fresh cache: an interrupt would close the files that are written. */
    @Test
    void anInterruptDuringTheFirstLoadDoesNoHarm(@TempDir Path cache) throws IOException, InterruptedException {
        ChildJvm.Result result = ChildJvm.run(List.of("-Ddev.reprise.cache=" + cache), InterruptedFirstLoad.class);
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

    @Test
    void structuresCanBeAllocatedWhateverTheProcessHasResident() {
        NativeLibrary.load();
        assertEquals(0, Pointer.maxPhysicalBytes(), "JavaCPP refuses allocations beyond this much resident memory");
        try (IntPointer four = new IntPointer(1, 2, 3, 4)) {
            assertEquals(4, four.get(3));
        }
    }
}
