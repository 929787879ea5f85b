package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** A run of the program within the test's process. */
record Program(int exitCode, byte[] bytes, String err) {
    /** The bundled model, as a file. */
    static final String STORIES = storyFile().toString();

    private static Path storyFile() {
        try {
            return Path.of(Program.class.getResource(StoryModel.NAME).toURI());
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }

    static Program run(String... arguments) {
        return runWithInput("", arguments);
    }

    static Program runWithInput(String input, String... arguments) {
        return runWithInput(input.getBytes(StandardCharsets.UTF_8), arguments);
    }

    static Program runWithInput(byte[] input, String... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int code = Main.run(arguments, new ByteArrayInputStream(input), out, err);
        return new Program(code, out.toByteArray(), err.toString(StandardCharsets.UTF_8));
    }

    String out() {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    Program succeeds() {
        assertEquals(ExitCode.OK, exitCode, err);
        return this;
    }

    Program fails(int code) {
        assertEquals(code, exitCode, err);
        return this;
    }
}
