package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * What a model answers under a random schema, at a temperature where it would say anything, obeys the schema as another
 * library understands it. {@code -Dreprise.schemas=500} in surefire's argLine tries so many with each model.
 */
class RandomSchemaTest {
    private static final int MAX_TOKENS = 400;

    @Test
    void theStoryModelObeysSchemas() {
        try (Model model = StoryModel.load()) {
            check(model, Integer.getInteger("reprise.schemas", 100));
        }
    }

    @Test
    void smolLmObeysSchemas() {
        try (Model model = Model.load(TestData.path("models/SmolLM2-135M-Instruct-Q4_1.gguf"))) {
            check(model, Integer.getInteger("reprise.schemas", 25));
        }
    }

    private static void check(Model model, int count) {
        SchemaRegistry validators = SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12);
        List<String> failures = new ArrayList<>();
        int ended = 0;
        for (int seed = 0; seed < count; seed++) {
            String source = RandomSchema.of(seed);
            GenerationOptions options = GenerationOptions.builder()
                    .maxTokens(MAX_TOKENS)
                    .sampling(Sampling.builder().temperature(1.5).topK(0).topP(1).minP(0).seed(seed).build())
                    .constraint(Constraint.jsonSchema(source))
                    .build();
            Generation answer;
            try (Session session = model.newSession()) {
                answer = session.complete("Once upon a time", options);
            }
            if (!answer.complete()) {  // cut, at the limit or where the context is full
                continue;
            }
            ended++;
            Schema validator = validators.getSchema(source);
            try {
                validator.validate(answer.text(), InputFormat.JSON, context ->
                                context.executionConfig(config -> config.formatAssertionsEnabled(true)))
                        .forEach(error -> failures.add(error + ": " + answer.text() + " under " + source));
            } catch (RuntimeException e) {
                failures.add(e + ": " + answer.text() + " under " + source);
            }
        }
        System.out.printf("%d of %d answers under random schemas ended%n", ended, count);
        assertEquals(List.of(), failures);
        assertTrue(ended > count / 2, ended + " of " + count + " ended");
    }
}
