package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.Backend;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Help, info and exit codes. */
class MainTest {
    @TempDir
    Path directory;

    @Test
    void helpListsCommandsAndExitCodes() {
        String help = Program.run("--help").succeeds().out();
        String[] commands = {"run", "chat", "serve", "render", "info", "tokenize", "detokenize", "pull"};
        String[] parts = {"Exit codes:", "  0 ", " 10 ", "130 ", "141 ", "Examples:"};
        for (String expected : parts) {
            assertTrue(help.contains(expected), expected + " in:\n" + help);
        }
        for (String command : commands) {
            assertTrue(help.contains("  " + command + " "), command + " in:\n" + help);
            assertTrue(Program.run(command, "--help").succeeds().out().startsWith("Usage: reprise " + command));
        }
    }

    @Test
    void versionTellsTheLibraryAndItsDevices() {
        String version = Program.run("--version").succeeds().out();
        assertTrue(version.startsWith("reprise "), version);
        assertTrue(version.contains(Backend.describe().libraryFile()), version);
    }

    @Test
    void wrongUseGivesTwo() {
        Program.run().fails(ExitCode.USAGE);
        Program.run("sing").fails(ExitCode.USAGE);
        Program.run("run", "--loud").fails(ExitCode.USAGE);
        Program.run("run", "-n", "many").fails(ExitCode.USAGE);
        Program.run("run", "-n", "0").fails(ExitCode.USAGE);
        Program.run("run", "--temp", "-1").fails(ExitCode.USAGE);
        Program.run("run", "--device", "abacus").fails(ExitCode.USAGE);
        Program.run("run", "--context", "1000000").fails(ExitCode.USAGE);
        Program.run("tokenize").fails(ExitCode.USAGE);
        Program.run("info").fails(ExitCode.USAGE);
    }

    @Test
    void aMissingFileGivesThreeAndIsNamed() {
        for (String command : new String[] {"run", "info", "tokenize", "detokenize"}) {
            Program program = Program.run(command, directory + "/none.gguf").fails(ExitCode.IO);
            assertTrue(program.err().contains("none.gguf"), program.err());
            assertTrue(!program.err().contains("\tat "), program.err());
        }
    }

    @Test
    void aDamagedFileGivesFour() throws IOException {
        Path file = Files.write(
                directory.resolve("cut.gguf"), Arrays.copyOf(Files.readAllBytes(Path.of(Program.STORIES)), 100_000));
        Program.run("run", file.toString(), "-p", "x").fails(ExitCode.MODEL_FORMAT);
        Program.run("info", file.toString()).fails(ExitCode.MODEL_FORMAT);
    }

    /** The story model with the name of another architecture, as long as its own. */
    private String storiesOf(String architecture) throws IOException {
        byte[] bytes = Files.readAllBytes(Path.of(Program.STORIES));
        byte[] known = "llama".getBytes(StandardCharsets.UTF_8);
        for (int at = 0; at < 200_000; at++) {
            if (Arrays.equals(bytes, at, at + known.length, known, 0, known.length)) {
                System.arraycopy(architecture.getBytes(StandardCharsets.UTF_8), 0, bytes, at, known.length);
            }
        }
        return Files.write(directory.resolve("other.gguf"), bytes).toString();
    }

    @Test
    void anUnknownArchitectureGivesFiveButItsTokenizerAndInfoWork() throws IOException {
        String file = storiesOf("loama");

        assertTrue(Program.run("run", file, "-p", "x").fails(ExitCode.UNSUPPORTED).err().contains("loama"));
        String info = Program.run("info", file).succeeds().out();
        assertTrue(info.contains("Architecture:  loama") && info.contains("cannot be run"), info);
        assertEquals("842\n", Program.run("tokenize", file, "-p", "Once", "--ids").succeeds().out());
    }

    @Test
    void aDeviceThatIsNotThereGivesSix() {
        if (!Backend.describe().cudaAvailable()) {
            Program program = Program.run("run", "--device", "cuda").fails(ExitCode.DEVICE_UNAVAILABLE);
            assertTrue(program.err().contains(Backend.describe().cudaReason()), program.err());
        }
    }

    @Test
    void aPromptThatDoesNotFitGivesEight() {
        Program.run("run", "-p", "word ".repeat(500)).fails(ExitCode.CONTEXT_OVERFLOW);
    }

    @Test
    void infoShowsWhatTheModelIsAndNeeds() {
        String info = Program.run("info", Program.STORIES).succeeds().out();
        String[] parts = {
            "Architecture:  llama\n", "Parameters:    7,344,384\n", "Q4_K ", "Size:          4.8 MB\n",
            "Context:       384 tokens\n", "Tokenizer:     gpt2 (gpt-2), 4,096 tokens, begin 0 ",
            "Memory:        ", "Chat template: none\n"
        };
        for (String expected : parts) {
            assertTrue(info.contains(expected), expected + " in:\n" + info);
        }
        String short64 = Program.run("info", Program.STORIES, "--context", "64").succeeds().out();
        assertTrue(short64.contains("KV cache 0.3 MB"), short64);
    }

    @Test
    void infoSendsNoControlCharactersOfTheFileToTheTerminal() throws IOException {
        String info = Program.run("info", storiesOf("l\033ama")).succeeds().out();
        assertTrue(info.contains("Architecture:  l\\x1Bama\n") && info.indexOf(033) < 0, info);
    }

    @Test
    void theKvTypeDecidesWhatTheCacheTakes() {
        for (String[] expected : new String[][] {{"f32", "3.1"}, {"f16", "1.6"}, {"q8_0", "0.8"}}) {
            String info = Program.run("info", Program.STORIES, "--kv-type", expected[0]).succeeds().out();
            assertTrue(info.contains("KV cache " + expected[1] + " MB"), info);
        }
        String error = Program.run("info", Program.STORIES, "--kv-type", "q4_0").fails(ExitCode.USAGE).err();
        assertTrue(error.contains("--kv-type") && error.contains("q4_0"), error);
    }
}
