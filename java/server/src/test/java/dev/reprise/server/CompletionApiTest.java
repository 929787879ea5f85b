package dev.reprise.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.json.Json;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Completions of plain text, and what the server says of itself. */
@Timeout(60)
class CompletionApiTest {
    private static final String PATH = "/v1/completions";
    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer(TestServer.stories());
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static String tell(String more) {
        return "{\"prompt\":\"Once upon a time\",\"temperature\":0,\"max_tokens\":20" + more + "}";
    }

    @Test
    void aTextIsTheLibrarys() {
        String expected;
        try (Model model = Model.load(TestServer.STORIES); Session session = model.newSession()) {
            expected = session.complete("Once upon a time",
                    GenerationOptions.builder().maxTokens(20).sampling(Sampling.greedy()).build()).text();
        }
        TestServer.Answer answer = server.post(PATH, tell("")).ok();
        assertEquals(expected, answer.at("choices.0.text"));
        assertEquals("length", answer.at("choices.0.finish_reason"));
        assertEquals(20L, answer.at("usage.completion_tokens"));
        assertEquals("Once upon a time" + expected, server.post(PATH, tell(",\"echo\":true")).ok()
                .at("choices.0.text"));
        assertEquals(expected, streamed(tell(",\"stream\":true")));
    }

    private static String streamed(String request) {
        StringBuilder text = new StringBuilder();
        List<String> data = server.post(PATH, request).ok().data();
        assertEquals("[DONE]", data.get(data.size() - 1));
        for (String event : data.subList(0, data.size() - 1)) {
            text.append(TestServer.at(Json.parse(event), "choices.0.text"));
        }
        return text.toString();
    }

    @Test
    void severalPromptsAndIdsAreContinued() {
        Object ids = server.post("/tokenize", "{\"content\":\"Once upon a time\",\"add_special\":true}").ok()
                .at("tokens");
        String expected = (String) server.post(PATH, tell("")).ok().at("choices.0.text");
        TestServer.Answer answer = server.post(PATH,
                tell("").replace("\"Once upon a time\"", "[" + Json.write(ids) + ",\"Once upon a time\"]")).ok();
        assertEquals(expected, answer.at("choices.0.text"));
        assertEquals(expected, answer.at("choices.1.text"));
        assertEquals(expected, server.post(PATH, tell("").replace("\"Once upon a time\"", Json.write(ids))).ok()
                .at("choices.0.text"));
    }

    @Test
    void logProbabilitiesComeWithOffsets() {
        TestServer.Answer answer = server.post(PATH, tell(",\"logprobs\":2")).ok();
        List<?> tokens = (List<?>) answer.at("choices.0.logprobs.tokens");
        assertEquals(20, tokens.size());
        assertEquals(20, ((List<?>) answer.at("choices.0.logprobs.token_logprobs")).size());
        String text = (String) answer.at("choices.0.text");
        long offset = (Long) answer.at("choices.0.logprobs.text_offset.5");
        assertTrue(text.startsWith((String) tokens.get(5), (int) offset));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "{} | prompt",
        "{\"prompt\":[]} | prompt",
        "{\"prompt\":[1,-2]} | prompt",
        "{\"prompt\":[[\"a\"]]} | prompt[0]",
        "{\"prompt\":[99999999]} | prompt",
        "{\"prompt\":\"a\",\"best_of\":3} | best_of",
        "{\"prompt\":\"a\",\"suffix\":\"b\"} | prompt",
        "{\"prompt\":\"a\",\"logprobs\":99} | logprobs"})
    void aBadParameterIsNamed(String request, String param) {
        TestServer.Answer answer = server.post(PATH, request);
        assertEquals(400, answer.status(), answer.text());
        assertEquals(param, answer.at("error.param"), answer.text());
    }

    @Test
    void aPromptThatIsTooLongIsToldInNumbers() {
        TestServer.Answer answer = server.post(PATH, tell("").replace("a time", "word ".repeat(5000)));
        assertEquals(400, answer.status());
        assertEquals("context_length_exceeded", answer.at("error.code"));
        assertEquals("prompt", answer.at("error.param"));
        assertTrue(answer.at("error.message").toString().matches(".*\\b50\\d\\d\\b.*\\b\\d{3,4}\\b.*"), answer.text());
    }

    @Test
    void aModelWithoutATemplateCannotChat() {
        TestServer.Answer answer = server.post("/v1/chat/completions",
                "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
        assertEquals(400, answer.status());
        assertEquals("no_chat_template", answer.at("error.code"));
    }

    @Test
    void healthAndMetricsAreTold() {
        server.post(PATH, tell("")).ok();
        assertEquals("ok", server.get("/health").ok().at("status"));
        assertTrue(server.metric("reprise_completion_tokens_total") >= 20);
        assertTrue(server.metric("reprise_time_to_first_token_seconds_count") >= 1);
        String text = server.get("/metrics").ok().text();
        assertTrue(text.contains("reprise_requests_total{path=\"/v1/completions\",status=\"200\"}"), text);
        assertTrue(text.contains("reprise_decoded_tokens_total{model=\"stories\"}"), text);
        for (String line : text.split("\n")) {
            assertTrue(line.matches("# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\\{[^}]*\\})? [0-9.eE+-]+"), line);
        }
    }

    @Test
    void aPathOrMethodThatIsNotThereIsTold() {
        assertEquals(404, server.get("/v2/anything").status());
        assertEquals(405, server.get(PATH).status());
        assertEquals(200, server.get("/models").status());
    }
}
