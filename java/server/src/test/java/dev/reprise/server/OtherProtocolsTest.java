package dev.reprise.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Anthropic's Messages, OpenAI's Responses, tokens. */
@Timeout(120)
class OtherProtocolsTest {
    private static final String SCHEMA = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\","
            + "\"maxLength\":12}},\"required\":[\"city\"],\"additionalProperties\":false}";
    private static final String ANTHROPIC_TOOL = "\"tools\":[{\"name\":\"weather\",\"input_schema\":" + SCHEMA + "}]";
    private static final String OPENAI_TOOL =
            "\"tools\":[{\"type\":\"function\",\"name\":\"weather\",\"parameters\":" + SCHEMA + "}]";

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

    private static String message(String more) {
        return "{\"model\":\"smol\",\"max_tokens\":40,\"temperature\":0,"
                + "\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\"}],"
                + "\"messages\":[{\"role\":\"user\",\"content\":\"Weather in Oslo?\"}]" + more + "}";
    }

    private static List<Object> events(TestServer.Answer answer) {
        List<Object> events = new ArrayList<>();
        answer.ok().data().forEach(text -> events.add(Json.parse(text)));
        return events;
    }

    private static List<Object> types(List<Object> events) {
        return events.stream().map(event -> TestServer.at(event, "type")).distinct().toList();
    }

    private static String joined(List<Object> events, String type, String path) {
        StringBuilder text = new StringBuilder();
        events.stream().filter(event -> TestServer.at(event, "type").equals(type))
                .forEach(event -> text.append(TestServer.at(event, path)));
        return text.toString();
    }

    // ---- Anthropic -------------------------------------------------------------------------------------------------

    @Test
    void aMessageIsTheSameWholeAndStreamed() {
        TestServer.Answer whole = server.post("/v1/messages", message("")).ok();
        assertEquals("message", whole.at("type"));
        assertEquals("text", whole.at("content.0.type"));
        String text = (String) whole.at("content.0.text");
        List<Object> events = events(server.post("/v1/messages", message(",\"stream\":true")));
        assertEquals(List.of("message_start", "ping", "content_block_start", "content_block_delta",
                "content_block_stop", "message_delta", "message_stop"), types(events));
        assertEquals(text, joined(events, "content_block_delta", "delta.text"));
        Object usage = TestServer.at(events.get(events.size() - 2), "usage");
        assertEquals(whole.at("usage.output_tokens"), TestServer.at(usage, "output_tokens"));
        long counted = (Long) server.post("/v1/messages/count_tokens", message("")).ok().at("input_tokens");
        assertEquals(counted, (Long) whole.at("usage.input_tokens") + (Long) whole.at("usage.cache_read_input_tokens"));
    }

    @Test
    void aToolIsUsedAndItsResultRead() {
        String more = "," + ANTHROPIC_TOOL + ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"weather\"}";
        TestServer.Answer whole = server.post("/v1/messages", message(more)).ok();
        assertEquals("tool_use", whole.at("stop_reason"));
        assertEquals("tool_use", whole.at("content.0.type"));
        Object input = whole.at("content.0.input");
        assertEquals(1, ((Map<?, ?>) input).size());
        List<Object> events = events(server.post("/v1/messages", message(more + ",\"stream\":true")));
        assertEquals(input, Json.parse(joined(events, "content_block_delta", "delta.partial_json")));

        String next = "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"Weather?\"},"
                + "{\"role\":\"assistant\",\"content\":" + Json.write(whole.at("content")) + "},"
                + "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
                + Json.write(whole.at("content.0.id")) + ",\"content\":[{\"type\":\"text\",\"text\":\"Rain\"}]},"
                + "{\"type\":\"text\",\"text\":\"And?\"}]}]," + ANTHROPIC_TOOL + "}";
        assertEquals("message", server.post("/v1/messages", next).ok().at("type"));
    }

    @Test
    void theStopSequenceIsTold() {
        String text = (String) server.post("/v1/messages", message("")).ok().at("content.0.text");
        String stop = text.substring(4, 9);
        TestServer.Answer answer = server.post("/v1/messages",
                message(",\"stop_sequences\":[\"qqqqq\"," + Json.write(stop) + "]")).ok();
        assertEquals("stop_sequence", answer.at("stop_reason"));
        assertEquals(stop, answer.at("stop_sequence"));
    }

    @Test
    void errorsAreAnthropics() {
        TestServer.Answer answer = server.post("/v1/messages", "{\"messages\":[]}");
        assertEquals(400, answer.status());
        assertEquals("error", answer.at("type"));
        assertEquals("invalid_request_error", answer.at("error.type"));
        String noLength = message("").replace("\"max_tokens\":40,", "");
        assertTrue(server.post("/v1/messages", noLength).at("error.message").toString().contains("max_tokens"));
        String unknown = message("").replace("smol", "claude");
        assertEquals("not_found_error", server.post("/v1/messages", unknown).at("error.type"));
    }

    // ---- Responses -------------------------------------------------------------------------------------------------

    private static String response(String more) {
        return "{\"model\":\"smol\",\"max_output_tokens\":40,\"temperature\":0,\"instructions\":\"Be brief.\","
                + "\"input\":\"Weather in Oslo?\"" + more + "}";
    }

    @Test
    void aResponseIsTheSameWholeAndStreamed() {
        TestServer.Answer whole = server.post("/v1/responses", response("")).ok();
        assertEquals("response", whole.at("object"));
        assertEquals("message", whole.at("output.0.type"));
        String text = (String) whole.at("output.0.content.0.text");
        List<Object> events = events(server.post("/v1/responses", response(",\"stream\":true")));
        assertEquals(text, joined(events, "response.output_text.delta", "delta"));
        assertEquals("response." + whole.at("status"), TestServer.at(events.get(events.size() - 1), "type"));
        assertEquals(whole.at("output.0.content"),
                TestServer.at(events.get(events.size() - 1), "response.output.0.content"));
        for (int i = 0; i < events.size(); i++) {
            assertEquals((long) i, TestServer.at(events.get(i), "sequence_number"));
        }
    }

    @Test
    void aFunctionIsCalledAndItsOutputRead() {
        TestServer.Answer call = server.post("/v1/responses",
                response("," + OPENAI_TOOL + ",\"tool_choice\":\"required\"")).ok();
        assertEquals("function_call", call.at("output.0.type"));
        String arguments = (String) call.at("output.0.arguments");
        assertEquals(1, ((Map<?, ?>) Json.parse(arguments)).size());
        String next = "{\"max_output_tokens\":5,\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
                + "\"text\":\"Weather?\"}]}," + Json.write(call.at("output.0")) + ",{\"type\":\"function_call_output\","
                + "\"call_id\":" + Json.write(call.at("output.0.call_id")) + ",\"output\":\"Rain\"}]}";
        assertEquals("message", server.post("/v1/responses", next).ok().at("output.0.type"));
    }

    @Test
    void whatIsNotStoredCannotBeReferredTo() {
        TestServer.Answer answer = server.post("/v1/responses", response(",\"previous_response_id\":\"resp_1\""));
        assertEquals(400, answer.status());
        assertEquals("previous_response_id", answer.at("error.param"));
    }

    // ---- tokens ----------------------------------------------------------------------------------------------------

    @Test
    void tokensThereAndBack() {
        Object tokens = server.post("/tokenize", "{\"content\":\"Grüße <|im_end|> 🙂\"}").ok().at("tokens");
        assertEquals("Grüße <|im_end|> 🙂",
                server.post("/detokenize", "{\"tokens\":" + Json.write(tokens) + "}").ok().at("content"));
        assertEquals(400, server.post("/detokenize", "{\"tokens\":[99999999]}").status());
    }

    @Test
    void aModelThatCannotEmbedSaysSo() {
        TestServer.Answer answer = server.post("/v1/embeddings", "{\"input\":\"x\"}");
        assertEquals(501, answer.status());
        assertEquals("not_supported", answer.at("error.code"));
        assertEquals(501, server.post("/v1/rerank", "{\"query\":\"x\",\"documents\":[\"y\"]}").status());
        assertEquals("input", server.post("/v1/embeddings", "{}").at("error.param"));
    }
}
