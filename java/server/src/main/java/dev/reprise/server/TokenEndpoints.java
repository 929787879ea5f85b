package dev.reprise.server;

import dev.reprise.Model;
import dev.reprise.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** {@code POST /tokenize} and {@code /detokenize}. */
final class TokenEndpoints {
    private TokenEndpoints() {}

    /** The ids of a text; what looks like a control token in it stays text unless parse_special is true. */
    static void tokenize(Exchange exchange, Fields request, Model model) {
        Tokenizer tokenizer = model.tokenizer();
        int[] ids = tokenizer.encode(request.requiredText("content"), request.isTrue("add_special"),
                request.isTrue("parse_special"));
        List<Object> tokens = new ArrayList<>(ids.length);
        boolean pieces = request.isTrue("with_pieces");
        for (int id : ids) {
            tokens.add(pieces
                    ? Doc.of("id", id, "piece", new String(tokenizer.tokenBytes(id), StandardCharsets.UTF_8)) : id);
        }
        exchange.json(200, Doc.of("tokens", tokens));
    }

    /** The text of ids. */
    static void detokenize(Exchange exchange, Fields request, Model model) {
        List<?> tokens = request.list("tokens").orElseThrow(() -> request.bad("tokens", "is missing"));
        int[] ids = new int[tokens.size()];
        int vocabulary = model.tokenizer().vocabularySize();
        for (int i = 0; i < ids.length; i++) {
            if (!(tokens.get(i) instanceof Long id) || id < 0 || id >= vocabulary) {
                throw ApiException.badRequest("tokens[" + i + "]",
                        "tokens[" + i + "] is no id of the vocabulary of " + vocabulary + " tokens");
            }
            ids[i] = id.intValue();
        }
        exchange.json(200, Doc.of("content", model.tokenizer().decode(ids)));
    }
}
