package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.natives.loader.NativeLibrary;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;

class NativeLibraryTest {
    @Test
    void isLoadedOnceAndSaysFromWhere() {
        NativeLibrary library = NativeLibrary.load();
        assertSame(library, NativeLibrary.load());
        assertTrue(Files.isRegularFile(Path.of(library.file())), library.file());
        assertTrue(library.file().contains("/" + library.classifier() + "/"), library.toString());
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
