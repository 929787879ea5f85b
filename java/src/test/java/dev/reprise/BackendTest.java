package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class BackendTest {
    @Test
    void describesLibraryProcessorAndWhyThereIsNoCuda() {
        Backend backend = Backend.describe();

        assertTrue(Files.exists(Path.of(backend.libraryFile())), backend.libraryFile());
        assertTrue(backend.classifier().startsWith("linux-x86_64"), backend.classifier());
        assertFalse(backend.version().isEmpty());
        assertFalse(backend.instructionSet().isEmpty());
        assertTrue(backend.threads() >= 1);
        assertEquals(backend.cudaAvailable(), backend.cudaReason().isEmpty(), backend.cudaReason());
    }

    @Test
    void tellsItToPeople() {
        Backend backend = Backend.describe();
        String text = backend.toString();

        assertTrue(text.contains(backend.libraryFile()), text);
        assertTrue(text.contains(backend.instructionSet()), text);
        assertTrue(backend.cudaAvailable() || text.contains(backend.cudaReason()), text);
    }
}
