package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The test data that the environment variable REPRISE_TESTDATA points to. */
final class TestData {
    private TestData() {}

    /**
     * A file or folder of the test data. Skips the test where the variable is not set, fails it where the variable is
     * set and the file is not there.
     */
    static Path path(String name) {
        String root = System.getenv("REPRISE_TESTDATA");
        assumeTrue(root != null && !root.isEmpty(), "skipped: REPRISE_TESTDATA is not set, " + name + " is not tested");
        Path path = Path.of(root, name.split("/"));
        assertTrue(Files.exists(path), "REPRISE_TESTDATA is " + root + ", but " + path + " does not exist");
        return path;
    }

    /** The elements of a JSON array of integers. */
    static int[] ints(Object array) {
        return ((List<?>) array).stream().mapToInt(value -> ((Long) value).intValue()).toArray();
    }
}
