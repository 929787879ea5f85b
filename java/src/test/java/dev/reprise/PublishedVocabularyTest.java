package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.json.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Published vocabularies against the ids that another engine gives. */
class PublishedVocabularyTest {
    private static List<?> cases(Path file) throws IOException {
        List<?> cases = (List<?>) Json.parse(Files.readString(file));
        assertTrue(cases.size() > 1, file + " holds no cases");
        return cases;
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "llama-bpe", "llama-spm", "phi-3", "gpt-2", "qwen2", "falcon", "deepseek-llm", "starcoder", "gemma-4"
    })
    void encodesEveryStringExactly(String name) throws IOException {
        Tokenizer tokenizer = Tokenizer.of(GgufHeader.read(TestData.path("tokenizer/" + name + ".gguf")));
        // The space before a text is part of a stream, where only its reader knows what came before.
        boolean prefixed = name.equals("llama-spm") || name.equals("phi-3");
        for (Object one : cases(TestData.path("tokenizer/" + name + ".json"))) {
            Map<?, ?> row = (Map<?, ?>) one;
            String text = (String) row.get("text");
            int[] plain = tokenizer.encode(text);
            assertArrayEquals(TestData.ints(row.get("plain")), plain, text);
            assertArrayEquals(TestData.ints(row.get("special")), tokenizer.encode(text, true, true), text);
            assertEquals(text, tokenizer.decode(plain));
            assertEquals((prefixed ? " " : "") + text, stream(tokenizer, plain));
        }
    }

    private static String stream(Tokenizer tokenizer, int[] ids) {
        StreamDecoder decoder = tokenizer.newStreamDecoder();
        StringBuilder out = new StringBuilder();
        for (int id : ids) {
            out.append(decoder.append(id));
        }
        return out.append(decoder.finish()).toString();
    }

    @ParameterizedTest
    @CsvSource({"models,SmolLM2-135M-Instruct-Q4_1.gguf", "demo,reprise-stories-7M-Q4_K_M.gguf"})
    void encodesThePromptsOfTheModels(String folder, String file) throws IOException {
        Tokenizer tokenizer = Tokenizer.of(GgufHeader.read(TestData.path(folder + "/" + file)));
        for (Object one : cases(TestData.path(folder + "/expected.json"))) {
            Map<?, ?> row = (Map<?, ?>) one;
            String prompt = (String) row.get("prompt");
            assertArrayEquals(TestData.ints(row.get("prompt_ids")), tokenizer.encode(prompt, true, true), prompt);
        }
    }

    @Test
    void countsTheTokensOfTheEvaluationText() throws IOException {
        Tokenizer tokenizer =
                Tokenizer.of(GgufHeader.read(TestData.path("models/SmolLM2-135M-Instruct-Q4_1.gguf")));
        String text = Files.readString(TestData.path("models/text.txt"));
        int[] ids = tokenizer.encode(text);
        assertEquals(3293, ids.length);
        assertEquals(text, tokenizer.decode(ids));
    }

    @Test
    void encodesTheTextsOfTheEmbeddingModel() throws IOException {
        Tokenizer tokenizer = Tokenizer.of(GgufHeader.read(TestData.path("models/all-MiniLM-L6-v2-Q8_0.gguf")));
        Map<?, ?> all = (Map<?, ?>) Json.parse(Files.readString(TestData.path("models/minilm.json")));
        List<?> texts = (List<?>) all.get("texts");
        assertTrue(texts.size() > 10);
        for (Object one : texts) {
            Map<?, ?> row = (Map<?, ?>) one;
            String text = (String) row.get("text");
            assertArrayEquals(TestData.ints(row.get("ids")), tokenizer.encode(text, true, true), text);
        }
    }
}
