package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;

/** The test data that the environment variable REPRISE_TESTDATA points to. */
final class TestData {
    private TestData() {}

    /** Skips the test where the variable is not set, fails it where it is and the file is not there. */
    static Path path(String name) {
        String root = System.getenv("REPRISE_TESTDATA");
        assumeTrue(root != null && !root.isEmpty(), "skipped: REPRISE_TESTDATA is not set, " + name + " is not tested");
        Path path = Path.of(root, name.split("/"));
        assertTrue(Files.exists(path), "REPRISE_TESTDATA is " + root + ", but " + path + " does not exist");
        return path;
    }

    /** A small model that chats. */
    static String chatModel() {
        return path("models/SmolLM2-135M-Instruct-Q4_1.gguf").toString();
    }
}
