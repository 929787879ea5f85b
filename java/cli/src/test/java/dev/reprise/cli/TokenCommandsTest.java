package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenCommandsTest {
    private static final String TEXT = "Once upon a time\n\n  Grüße, 🙂 naïve\tcafé\r\n";

    @TempDir
    Path directory;

    @Test
    void textComesBackFromItsIdsByteForByte() {
        String ids = Program.runWithInput(TEXT, "tokenize", Program.STORIES, "--ids").succeeds().out();
        assertArrayEquals(
                TEXT.getBytes(StandardCharsets.UTF_8),
                Program.runWithInput(ids, "detokenize", Program.STORIES).succeeds().bytes());
    }

    @Test
    void idsMayBeSeparatedByCommas() {
        assertEquals(
                " upon a time", Program.runWithInput("929,259, 564\n", "detokenize", Program.STORIES).succeeds().out());
    }

    @Test
    void idsAreListedOnePerLine() {
        String ids = Program.run("tokenize", Program.STORIES, "-p", "Once upon a time", "--ids").out();
        assertEquals("842\n929\n259\n564\n", ids);
    }

    @Test
    void aFileThatCannotBeWrittenIsNamedWithTheReason() {
        String err = Program.run("tokenize", Program.STORIES, "-p", "Once", "--i32", "/nowhere/ids")
                .fails(ExitCode.IO).err();
        assertTrue(err.contains("cannot write /nowhere/ids: no such file or folder"), err);
    }

    @Test
    void anOptionIsNotTakenForTheNameOfAFile() {
        String err = Program.run("tokenize", Program.STORIES, "-p", "Once", "--i32", "--special")
                .fails(ExitCode.USAGE).err();
        assertTrue(err.contains("--i32 --special") && err.contains("./--special"), err);
        assertTrue(Files.notExists(Path.of("--special")));
    }

    @Test
    void withoutAFormEveryTokenIsShown() {
        assertEquals(
                "842\t\"Once\"\n929\t\"Ġupon\"\n", Program.run("tokenize", Program.STORIES, "-p", "Once upon").out());
    }

    @Test
    void specialParsesAndAddsSpecialTokens() {
        String plain = Program.run("tokenize", Program.STORIES, "-p", "Once<|endoftext|>", "--ids").succeeds().out();
        String special =
                Program.run("tokenize", Program.STORIES, "-p", "Once<|endoftext|>", "--ids", "--special").out();
        assertEquals("0\n842\n0\n", special);
        assertTrue(plain.startsWith("842\n") && plain.lines().count() > 2, plain);
    }

    @Test
    void jsonTextsBecomeJsonIds() {
        String texts = "[\"Once upon\", \"\", \" a time\"]";
        Program program = Program.runWithInput(texts, "tokenize", Program.STORIES, "--json");
        assertEquals("[[842,929],\n[],\n[259,564]]\n", program.succeeds().out());
        assertEquals("[]\n", Program.runWithInput(" []", "tokenize", Program.STORIES, "--json").out());
        assertEquals("[[842,929]]\n", Program.run("tokenize", Program.STORIES, "--json", "-p", "Once upon").out());
    }

    @Test
    void malformedJsonIsAUsageError() {
        for (String json : new String[] {"", "{}", "[1]", "[\"a\"", "\"a\""}) {
            Program program = Program.runWithInput(json, "tokenize", Program.STORIES, "--json").fails(ExitCode.USAGE);
            assertTrue(program.err().contains("JSON"), program.err());
        }
    }

    @Test
    void idsAreWrittenAsLittleEndianIntegers() throws IOException {
        Path file = directory.resolve("ids.i32");
        Program.run("tokenize", Program.STORIES, "-p", "Once upon a time", "--i32", file.toString()).succeeds();
        byte[] expected = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN)
                .putInt(842).putInt(929).putInt(259).putInt(564).array();
        assertArrayEquals(expected, Files.readAllBytes(file));
        Program.run("tokenize", Program.STORIES, "-p", "x", "--i32", directory + "/no/such/ids").fails(ExitCode.IO);
    }

    @Test
    void onlyOneFormCanBeChosen() {
        Program.run("tokenize", Program.STORIES, "-p", "x", "--ids", "--json").fails(ExitCode.USAGE);
    }

    @Test
    void whatIsNoIdIsNamed() {
        for (String input : new String[] {"5 x7", "4096", "-1", "99999999999"}) {
            Program program = Program.runWithInput(input, "detokenize", Program.STORIES).fails(ExitCode.USAGE);
            assertTrue(program.out().isEmpty(), program.out());
        }
        assertTrue(Program.runWithInput("5 x7", "detokenize", Program.STORIES).err().contains("'x7'"));
    }

    @Test
    void malformedUtf8IsReplaced() {
        byte[] malformed = {'a', (byte) 0xFF, 'b'};
        String ids = Program.runWithInput(malformed, "tokenize", Program.STORIES, "--ids").out();
        assertEquals("a\uFFFDb", Program.runWithInput(ids, "detokenize", Program.STORIES).out());
    }
}
