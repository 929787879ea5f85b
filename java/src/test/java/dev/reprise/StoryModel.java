package dev.reprise;

import dev.reprise.json.Json;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The 7M story model that comes with the command line, and what it says by exact arithmetic. */
final class StoryModel {
    /** Surefire sets basedir to the module's folder. */
    static final Path PATH = Path.of(
            System.getProperty("basedir", "."),
            "cli/src/main/resources/dev/reprise/cli/reprise-stories-7M-Q4_K_M.gguf");

    private StoryModel() {}

    static Model load() {
        return Model.load(PATH);
    }

    /** Loaded so that a prompt of the context's length takes long enough to be interrupted. */
    static Model loadSlow() {
        return Model.load(PATH, ModelOptions.builder().device(Device.CPU).exact(true).threads(1).build());
    }

    static List<Continuation> continuations() {
        try (InputStream in = StoryModel.class.getResourceAsStream("reprise-stories-7M-expected.json")) {
            return Continuation.parse(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * A greedy continuation under exact arithmetic.
     *
     * @param margins how far the best logit is ahead of the second, per id
     * @param stable how many ids come before the first margin under 0.3
     */
    record Continuation(String prompt, int[] promptIds, int[] ids, double[] margins, int stable) {
        static List<Continuation> parse(String json) {
            List<Continuation> result = new ArrayList<>();
            for (Object element : (List<?>) Json.parse(json)) {
                Map<?, ?> entry = (Map<?, ?>) element;
                double[] margins = ((List<?>) entry.get("margins"))
                        .stream().mapToDouble(margin -> ((Number) margin).doubleValue()).toArray();
                result.add(new Continuation(
                        (String) entry.get("prompt"),
                        TestData.ints(entry.get("prompt_ids")),
                        TestData.ints(entry.get("ids")),
                        margins,
                        ((Number) entry.get("stable")).intValue()));
            }
            return result;
        }

        @Override
        public String toString() {
            return prompt;
        }
    }
}
