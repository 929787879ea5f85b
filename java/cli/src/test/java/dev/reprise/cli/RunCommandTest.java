package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunCommandTest {
    private static final String PROMPT = "Once upon a time";

    @Test
    void withoutAModelTheBundledOneTellsAStoryAndSaysSo() {
        Program program = Program.run("run").succeeds();
        assertTrue(program.out().startsWith("Once upon a time"), program.out());
        assertTrue(program.out().endsWith("\n"));
        assertTrue(program.err().contains("bundled story model, reprise-stories-7M-Q4_K_M.gguf"), program.err());
    }

    @Test
    void aModelFileContinuesThePrompt() {
        Program program = Program.run("run", Program.STORIES, "-p", PROMPT, "-n", "7", "--temp", "0").succeeds();
        assertEquals(", there was a little girl named\n", program.out());
    }

    @Test
    void aMiddleIsFilledInWhereTheModelHasTokensForIt() {
        Program without = Program.run("run", "-p", PROMPT, "--suffix", "The end.", "-n", "4");
        assertEquals(ExitCode.UNSUPPORTED, without.exitCode());
        assertTrue(without.err().contains("tokenizer.ggml.fim_pre_token_id"), without.err());
        Program both = Program.run("run", "-p", PROMPT, "--suffix", "b", "--special", "-n", "4");
        assertEquals(ExitCode.USAGE, both.exitCode());
    }

    @Test
    void statisticsComeOnStandardError() {
        Program program = Program.run("run", "-p", PROMPT, "-n", "12", "--temp", "0").succeeds();
        assertTrue(
                Pattern.compile("5 prompt tokens at \\d+/s, 12 generated at \\d+\\.\\d/s on (CPU|CUDA); "
                                + "ended: MAX_TOKENS; seed ")
                        .matcher(program.err()).find(),
                program.err());
    }

    @Test
    void promptsAndStopStringsAreTakenAsTheyAre(@TempDir Path directory) throws IOException {
        Path file = Files.writeString(directory.resolve("text"), "-n 1");
        for (String text : new String[] {"@" + file, "-nice", "-help me", "--temp"}) {
            Program.run("run", "-p", text, "-n", "2", "--temp", "0", "--stop", text).succeeds();
            assertEquals(
                    Program.runWithInput(text, "run", Program.STORIES, "-n", "4", "--temp", "0").succeeds().out(),
                    Program.run("run", Program.STORIES, "--prompt=" + text, "-n", "4", "--temp", "0").succeeds().out(),
                    text);
        }
    }

    @Test
    void thePromptMayComeFromStandardInput() {
        String out = Program.runWithInput(PROMPT, "run", Program.STORIES, "-n", "3", "--temp", "0").succeeds().out();
        assertEquals(", there was\n", out);
    }

    @Test
    void idsArePrintedOnePerLineWithTheEndToken() {
        Program program = Program.run(
                "run", "-p", "The end of the story. They lived happily ever after. The end.", "--temp", "0", "--ids");
        String[] lines = program.succeeds().out().split("\n");
        for (String line : lines) {
            assertTrue(line.matches("\\d+"), line);
        }
        assertEquals("0", lines[lines.length - 1]);
        assertTrue(program.err().contains("ended: END"), program.err());
    }

    @Test
    void theSeedThatIsShownGivesTheSameTextAgain() {
        Program first = Program.run("run", "-p", PROMPT, "-n", "40").succeeds();
        Matcher seed = Pattern.compile("seed (-?\\d+)").matcher(first.err());
        assertTrue(seed.find());
        assertEquals(first.out(), Program.run("run", "-p", PROMPT, "-n", "40", "--seed", seed.group(1)).out());
        assertNotEquals(first.out(), Program.run("run", "-p", PROMPT, "-n", "40", "--seed", "1").out());
    }

    @Test
    void everySamplingOptionIsTaken() {
        String first = sampled().succeeds().out();
        assertEquals(first, sampled().out());
    }

    private static Program sampled() {
        return Program.run(
                "run", "-p", PROMPT, "-n", "20", "--temp", "1.2", "--top-k", "20", "--top-p", "0.9", "--min-p", "0.01",
                "--repeat-penalty", "1.1", "--presence-penalty", "0.1", "--frequency-penalty", "0.1", "--seed", "7",
                "--dry-multiplier", "0.8", "--xtc-probability", "0.5", "--xtc-threshold", "0.2", "--logit-bias",
                        "11=-1.5",
                "--threads", "1", "--device", "cpu", "--context", "64", "--kv-type", "f32", "--no-mmap");
    }

    @Test
    void aStopStringEndsTheText() {
        Program program =
                Program.run("run", "-p", PROMPT, "--temp", "0", "--stop", "nowhere", "--stop", " girl").succeeds();
        assertEquals(", there was a little\n", program.out());
        assertTrue(program.err().contains("ended: STOP"), program.err());
    }

    @Test
    void specialTokensAreParsedWhereAskedFor() {
        String plain = Program.run("run", "-p", PROMPT + "<|endoftext|>", "-n", "1").succeeds().err();
        String parsed = Program.run("run", "-p", PROMPT + "<|endoftext|>", "-n", "1", "--special").succeeds().err();
        assertTrue(parsed.contains("6 prompt tokens"), parsed);
        assertTrue(!plain.contains("6 prompt tokens"), plain);
    }

    @Test
    void aConstraintIsObeyedAndACutTextHasAStatus() {
        assertEquals(" upon a hill\n", constrained().succeeds().out());
        Program cut = constrained("-n", "2").fails(ExitCode.CUT);
        assertTrue(cut.err().contains("ended: MAX_TOKENS"), cut.err());
        Program malformed = Program.run("run", "-p", "x", "--regex", "a(").fails(ExitCode.USAGE);
        assertTrue(malformed.err().contains("a("), malformed.err());
    }

    private static Program constrained(String... more) {
        List<String> arguments =
                new ArrayList<>(List.of("run", "-p", "Once", "--temp", "0", "--regex", " upon a hill"));
        arguments.addAll(List.of(more));
        return Program.run(arguments.toArray(String[]::new));
    }

    @Test
    void aBiasBansAToken() {
        String first = Program.run("run", "-p", PROMPT, "-n", "1", "--temp", "0", "--ids").succeeds().out().strip();
        Program without =
                Program.run("run", "-p", PROMPT, "-n", "1", "--temp", "0", "--ids", "--logit-bias", first
                        + "=-Infinity");
        assertNotEquals(first, without.succeeds().out().strip());
        Program.run("run", "-p", PROMPT, "--logit-bias", "much").fails(ExitCode.USAGE);
        Program.run("run", "-p", PROMPT, "--logit-bias", "99999=1").fails(ExitCode.USAGE);
    }
}
