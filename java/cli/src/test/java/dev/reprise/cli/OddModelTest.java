package dev.reprise.cli;

import static dev.reprise.cli.OddModel.ARRAY;
import static dev.reprise.cli.OddModel.BOOL;
import static dev.reprise.cli.OddModel.INT32;
import static dev.reprise.cli.OddModel.STRING;
import static dev.reprise.cli.OddModel.array;
import static dev.reprise.cli.OddModel.little;
import static dev.reprise.cli.OddModel.string;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One odd key stops nothing that does not need it. */
class OddModelTest {
    private static final byte[] TWO_TEXTS =
            concat(array(STRING, 2), string(new byte[] {'a'}), string(new byte[] {'b'}));

    private static final Logger LOGGER = Logger.getLogger("dev.reprise");

    @TempDir
    Path directory;

    /** Warnings of the library would look like faults of the test. */
    @BeforeAll
    static void silence() {
        LOGGER.setLevel(Level.OFF);
    }

    @AfterAll
    static void speak() {
        LOGGER.setLevel(null);
    }

    private static byte[] concat(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private static void assertInfo(String file, String... expected) {
        String info = Program.run("info", file).succeeds().out();
        for (String line : expected) {
            assertTrue(info.contains(line), line + " in:\n" + info);
        }
        assertTrue(info.contains("Architecture:  llama\n") && info.contains("Parameters:    7,344,384\n"), info);
        assertTrue(info.contains("Memory:        ") && info.contains("Chat template: "), info);
    }

    private static void assertRunsAsEver(String file) {
        Program run = Program.run("run", file, "-p", "Once upon a time", "-n", "7", "--temp", "0").succeeds();
        assertEquals(", there was a little girl named\n", run.out());
        String ids = Program.run("tokenize", file, "-p", "Once upon", "--ids").succeeds().out();
        assertEquals("842\n929\n", ids);
        assertEquals("Once upon", Program.runWithInput(ids, "detokenize", file).succeeds().out());
    }

    @Test
    void aChatTemplateOfAnotherType() {
        for (int type : new int[] {ARRAY, INT32}) {
            byte[] value = type == ARRAY ? TWO_TEXTS : little(5, 4);
            String file = new OddModel().with("tokenizer.chat_template", type, value).write(directory);
            assertInfo(
                    file, "Chat template: metadata key tokenizer.chat_template is ",
                    "Tokenizer:     gpt2 (gpt-2), 4,096 tokens");
            assertRunsAsEver(file);
            String error = Program.runWithInput("{}", "render", file, "--input", "-").fails(ExitCode.TEMPLATE).err();
            assertTrue(error.contains("(tokenizer.chat_template) is no text"), error);
        }
    }

    @Test
    void aTruthValueThatIsNeitherZeroNorOne() {
        String file = new OddModel().with("general.flag", BOOL, little(2, 1)).write(directory);
        assertInfo(file, "Tokenizer:     gpt2 (gpt-2), 4,096 tokens");
        assertRunsAsEver(file);
    }

    @Test
    void aChatTemplateThatIsNoUtf8() {
        byte[] text = {'h', 'i', (byte) 0xFF, '!'};
        String file = new OddModel().with("tokenizer.chat_template", STRING, string(text)).write(directory);
        assertInfo(
                file, "Odd:           tokenizer.chat_template is no UTF-8\n",
                "Chat template: 4 characters:\n  hi\uFFFD!\n");
        assertRunsAsEver(file);
    }

    @Test
    void aNameOfAnotherType() {
        OddModel odd = new OddModel().rename("general.name", "general.nmae");
        String file = odd.with("general.name", ARRAY, TWO_TEXTS).write(directory);
        assertInfo(file, "Name:          metadata key general.name is an array of STRING where STRING is expected\n");
        assertRunsAsEver(file);
    }

    @Test
    void aNameOfSeveralLines() {
        OddModel odd = new OddModel().rename("general.name", "general.nmae");
        byte[] name = "x\nArchitecture:  wrong".getBytes(StandardCharsets.UTF_8);
        assertInfo(
                odd.with("general.name", STRING, string(name)).write(directory),
                "Name:          x\\x0AArchitecture:  wrong\n");
    }

    @Test
    void aKeyThatNobodyCanRead() {
        String file = new OddModel().with("bad\0key", INT32, little(1, 4)).write(directory);
        assertInfo(file, "Odd:           the key 'bad\\x00key' is no printable UTF-8\n");
        assertRunsAsEver(file);
    }

    @Test
    void idsThatNameNoToken() {
        String file = new OddModel().with("tokenizer.ggml.padding_token_id", INT32, little(-1, 4)).write(directory);
        assertInfo(file, "Odd:           tokenizer.ggml.padding_token_id is -1, which names no token\n");
        assertRunsAsEver(file);
    }

    @Test
    void aBrokenTokenizerIsToldByInfoAndStopsWhatNeedsIt() {
        String file = new OddModel().rename("tokenizer.ggml.merges", "tokenizer.ggml.mergen").write(directory);
        String error = "metadata key tokenizer.ggml.merges is missing";
        assertInfo(file, "Tokenizer:     " + error);
        String[][] commands = {{"run", file, "-p", "x"}, {"tokenize", file, "-p", "x"}, {"detokenize", file}};
        for (String[] command : commands) {
            assertTrue(Program.run(command).fails(ExitCode.MODEL_FORMAT).err().contains(error));
        }
    }

    @Test
    void aMissingContextLengthIsTold() {
        String file = new OddModel().rename("llama.context_length", "llama.context_lenght").write(directory);
        assertInfo(
                file, "Context:       not given (llama.context_length)\n",
                "cannot be run: metadata key llama.context_length");
        assertEquals("842\n", Program.run("tokenize", file, "-p", "Once", "--ids").succeeds().out());
        Program.run("run", file, "-p", "x").fails(ExitCode.MODEL_FORMAT);
    }

    /** The story model's " little" is made an end of another kind. */
    @Test
    void runEndsAtTheEndsOfTheFileAndShowsThemWhereAskedFor() {
        int little = Integer.parseInt(Program.run("tokenize", Program.STORIES, "-p", " little", "--ids").out().strip());
        String file = new OddModel()
                .with("tokenizer.ggml.eos_token_ids", ARRAY, array(INT32, 1), little(little, 4)).write(directory);
        String[] run = {"run", file, "-p", "Once upon a time", "--temp", "0", "-n", "30"};
        Program hidden = Program.run(run).succeeds();
        assertEquals(", there was a\n", hidden.out());
        assertTrue(hidden.err().contains("ended: END"), hidden.err());
        String[] shown = Arrays.copyOf(run, run.length + 1);
        shown[run.length] = "--show-special";
        assertEquals(", there was a little\n", Program.run(shown).succeeds().out());
        shown[run.length] = "--ids";
        assertTrue(Program.run(shown).out().endsWith("\n" + little + "\n"));
    }
}
