package dev.reprise.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.Chat;
import dev.reprise.ChatOptions;
import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.json.Json;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Chat completions of a small model. */
@Timeout(120)
class ChatApiTest {
    private static final String PATH = "/v1/chat/completions";
    private static final String TOOLS = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\","
            + "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":12}},"
            + "\"required\":[\"city\"],\"additionalProperties\":false}}}]";

    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer(TestServer.chat());
    }

    @AfterAll
    static void stop() {
        if (server != null) {
            server.close();
        }
    }

    private static String ask(String text, String more) {
        return "{\"messages\":[{\"role\":\"user\",\"content\":" + Json.write(text) + "}],\"temperature\":0" + more
                + "}";
    }

    @Test
    void anAnswerIsTheLibrarys() {
        TestServer.Answer answer = server.post(PATH, ask("Name a colour.", ",\"max_tokens\":30")).ok();
        String expected;
        ChatOptions options = ChatOptions.builder()
                .generation(GenerationOptions.builder().maxTokens(30).sampling(Sampling.greedy()).build()).build();
        try (Model model = Model.load(TestServer.testData("models/SmolLM2-135M-Instruct-Q4_1.gguf"));
                Chat chat = model.newChat(options)) {
            expected = chat.ask("Name a colour.").text();
        }

        assertEquals(expected, answer.at("choices.0.message.content"));
        assertEquals("assistant", answer.at("choices.0.message.role"));
        assertEquals("stop", answer.at("choices.0.finish_reason"));
        assertEquals("smol", answer.at("model"));
        assertEquals("chat.completion", answer.at("object"));
        long prompt = (Long) answer.at("usage.prompt_tokens");
        long completion = (Long) answer.at("usage.completion_tokens");
        assertTrue(prompt > 20 && completion > 5);
        assertEquals(prompt + completion, answer.at("usage.total_tokens"));
    }

    @Test
    void aStreamIsTheSameTextInPieces() {
        String whole = (String) server.post(PATH, ask("Name a colour.", ",\"max_tokens\":20")).ok()
                .at("choices.0.message.content");
        TestServer.Answer stream = server.post(PATH, ask("Name a colour.",
                ",\"max_tokens\":20,\"stream\":true,\"stream_options\":{\"include_usage\":true}")).ok();
        List<String> data = stream.data();
        StringBuilder text = new StringBuilder();
        for (String event : data.subList(0, data.size() - 2)) {
            Object content = TestServer.at(Json.parse(event), "choices.0.delta.content");
            text.append(content == null ? "" : content);
        }

        assertEquals(whole, text.toString());
        assertEquals("[DONE]", data.get(data.size() - 1));
        Object usage = Json.parse(data.get(data.size() - 2));
        assertEquals(List.of(), TestServer.at(usage, "choices"));
        assertTrue((Long) TestServer.at(usage, "usage.completion_tokens") > 5);
        Object last = Json.parse(data.get(data.size() - 3));
        assertEquals("stop", TestServer.at(last, "choices.0.finish_reason"));
        assertEquals("assistant", TestServer.at(Json.parse(data.get(0)), "choices.0.delta.role"));
    }

    @Test
    void rolesPartsAndNullsAreRead() {
        String messages = "{\"messages\":[{\"role\":\"developer\",\"content\":\"Be brief.\"},"
                + "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What is \"},"
                + "{\"type\":\"text\",\"text\":\"2+2?\"}]},"
                + "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\","
                + "\"function\":{\"name\":\"sum\",\"arguments\":\"{\\\"a\\\":2}\"}}]},"
                + "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"4\"}],"
                + "\"max_tokens\":3,\"temperature\":0,\"stop\":null,\"seed\":null,\"tools\":null,\"n\":null}";
        assertEquals("length", server.post(PATH, messages).ok().at("choices.0.finish_reason"));
    }

    @Test
    void severalAnswersDrawFromSeveralSeeds() {
        String request = ask("Tell me a story.", ",\"max_tokens\":12,\"n\":2,\"seed\":7").replace(
                "\"temperature\":0", "\"temperature\":1.5,\"min_p\":0,\"top_k\":0");
        TestServer.Answer answer = server.post(PATH, request).ok();
        assertEquals(1L, answer.at("choices.1.index"));
        assertNotEquals(answer.at("choices.0.message.content"), answer.at("choices.1.message.content"));
        assertEquals(answer.at("choices"), server.post(PATH, request).ok().at("choices"));
        String second = request.replace("\"n\":2,\"seed\":7", "\"seed\":8");
        assertEquals(answer.at("choices.1.message.content"),
                server.post(PATH, second).ok().at("choices.0.message.content"));
    }

    @Test
    void aStopTextEndsTheAnswer() {
        String text = (String) server.post(PATH, ask("Name a colour.", ",\"max_tokens\":20")).ok()
                .at("choices.0.message.content");
        String stop = text.substring(8, 12);
        TestServer.Answer answer =
                server.post(PATH, ask("Name a colour.", ",\"max_tokens\":20,\"stop\":" + Json.write(stop))).ok();
        assertEquals(text.substring(0, text.indexOf(stop)), answer.at("choices.0.message.content"));
        assertEquals("stop", answer.at("choices.0.finish_reason"));
    }

    @Test
    void logProbabilitiesAreOfTheText() {
        String more = ",\"max_tokens\":6,\"logprobs\":true,\"top_logprobs\":3";
        TestServer.Answer answer = server.post(PATH, ask("Name a colour.", more)).ok();
        List<?> content = (List<?>) answer.at("choices.0.logprobs.content");
        StringBuilder text = new StringBuilder();
        for (Object token : content) {
            text.append(TestServer.at(token, "token"));
            assertTrue(((Number) TestServer.at(token, "logprob")).doubleValue() <= 0);
            assertEquals(3, ((List<?>) TestServer.at(token, "top_logprobs")).size());
            assertEquals(TestServer.at(token, "token"), TestServer.at(token, "top_logprobs.0.token"));
        }
        assertEquals(answer.at("choices.0.message.content"), text.toString());

        StringBuilder streamed = new StringBuilder();
        for (String event : server.post(PATH, ask("Name a colour.", more + ",\"stream\":true")).ok().data()) {
            Object logprobs = event.equals("[DONE]") ? null : TestServer.at(Json.parse(event), "choices.0.logprobs");
            if (logprobs != null) {
                ((List<?>) TestServer.at(logprobs, "content"))
                        .forEach(token -> streamed.append(TestServer.at(token, "token")));
            }
        }
        assertEquals(text.toString(), streamed.toString());
    }

    @Test
    void aForcedCallObeysItsSchemaWholeAndStreamed() {
        String more = "," + TOOLS + ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false,\"max_tokens\":80";
        TestServer.Answer answer = server.post(PATH, ask("Weather in Oslo?", more)).ok();
        assertEquals("tool_calls", answer.at("choices.0.finish_reason"));
        assertNull(answer.at("choices.0.message.content"));
        assertEquals("weather", answer.at("choices.0.message.tool_calls.0.function.name"));
        String arguments = (String) answer.at("choices.0.message.tool_calls.0.function.arguments");
        assertEquals(1, ((Map<?, ?>) Json.parse(arguments)).size());

        StringBuilder streamed = new StringBuilder();
        String id = null;
        for (String event : server.post(PATH, ask("Weather in Oslo?", more + ",\"stream\":true")).ok().data()) {
            Object calls = event.equals("[DONE]") ? null
                    : TestServer.at(Json.parse(event), "choices.0.delta.tool_calls");
            if (calls != null) {
                Object given = TestServer.at(calls, "0.id");
                id = given == null ? id : (String) given;
                streamed.append(TestServer.at(calls, "0.function.arguments"));
            }
        }
        assertEquals(arguments, streamed.toString());
        assertTrue(id != null && id.matches("[A-Za-z0-9]{9}"), id);
    }

    @Test
    void anAnswerObeysASchemaOrAGrammar() {
        String schema = ",\"max_tokens\":60,\"response_format\":{\"type\":\"json_schema\","
                + "\"json_schema\":{\"name\":\"a\",\"strict\":true,\"schema\":{\"type\":\"object\","
                + "\"properties\":{\"colour\":{\"enum\":[\"red\",\"blue\"]},"
                + "\"number\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},"
                + "\"required\":[\"colour\",\"number\"],\"additionalProperties\":false}}}";
        Object value = Json.parse((String) server.post(PATH, ask("A colour?", schema)).ok()
                .at("choices.0.message.content"));
        assertTrue(List.of("red", "blue").contains(TestServer.at(value, "colour")));
        assertTrue(server.post(PATH, ask("A colour?", ",\"grammar\":\"root ::= \\\"yes\\\" | \\\"no\\\"\"")).ok()
                .at("choices.0.message.content").toString().matches("yes|no"));
        assertTrue(server.post(PATH, ask("A number?", ",\"regex\":\"[0-9]{3}\"")).ok()
                .at("choices.0.message.content").toString().matches("[0-9]{3}"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "{\"temperature\":-1} | temperature",
        "{\"temperature\":\"hot\"} | temperature",
        "{\"top_p\":1.5} | top_p",
        "{\"top_k\":2.5} | top_k",
        "{\"min_p\":2} | min_p",
        "{\"max_tokens\":0} | max_tokens",
        "{\"max_completion_tokens\":-3} | max_completion_tokens",
        "{\"n\":1000} | n",
        "{\"stop\":[\"\"]} | stop",
        "{\"stop\":[1]} | stop",
        "{\"seed\":1.5} | seed",
        "{\"presence_penalty\":1e9} | presence_penalty",
        "{\"logit_bias\":{\"a\":1}} | logit_bias",
        "{\"logit_bias\":{\"999999\":1}} | logit_bias",
        "{\"top_logprobs\":3} | top_logprobs",
        "{\"stream\":1} | stream",
        "{\"messages\":[]} | messages",
        "{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]} | messages[0].role",
        "{\"messages\":[{\"role\":\"user\"}]} | messages[0].content",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]} | messages[0].content[0].type",
        "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]} | tools[0].function.name",
        "{\"tool_choice\":\"required\"} | tool_choice",
        "{\"response_format\":{\"type\":\"xml\"}} | response_format.type",
        "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}} | response_format.json_schema.schema",
        "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"not\":{}}}}} | response_format",
        "{\"grammar\":\"root ::= (\"} | response_format",
        "{\"model\":7} | model"})
    void aBadParameterIsNamed(String change, String param) {
        @SuppressWarnings("unchecked")
        Map<String, Object> request = (Map<String, Object>) Json.parse(ask("x", ",\"max_tokens\":2"));
        ((Map<?, ?>) Json.parse(change)).forEach((key, value) -> request.put((String) key, value));
        TestServer.Answer answer = server.post(PATH, Json.write(request));
        assertEquals(400, answer.status(), answer.text());
        assertEquals(param, answer.at("error.param"), answer.text());
        assertEquals("invalid_request_error", answer.at("error.type"));
        assertTrue(!answer.at("error.message").toString().isEmpty());
    }

    @Test
    void aPromptThatIsTooLongIsToldInNumbers() {
        TestServer.Answer answer = server.post(PATH, ask("word ".repeat(5000), ""));
        assertEquals(400, answer.status());
        assertEquals("context_length_exceeded", answer.at("error.code"));
        assertTrue(answer.at("error.message").toString()
                .matches("the prompt has 50\\d\\d tokens and the context \\d{4}:.*"), answer.text());
    }

    @Test
    void anUnknownModelIsNotFound() {
        TestServer.Answer answer = server.post(PATH, ask("x", ",\"model\":\"gpt\""));
        assertEquals(404, answer.status());
        assertEquals("model_not_found", answer.at("error.code"));
        assertEquals("model", answer.at("error.param"));
        assertEquals(404, server.get("/v1/models/gpt").status());
        assertEquals("smol", server.get("/v1/models/smol").ok().at("id"));
        assertEquals("smol", server.get("/v1/models").ok().at("data.0.id"));
    }
}
