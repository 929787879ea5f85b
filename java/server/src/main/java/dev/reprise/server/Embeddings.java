package dev.reprise.server;

import dev.reprise.Model;
import java.util.List;

/** {@code POST /v1/embeddings} and {@code /v1/rerank}. */
final class Embeddings {
    private Embeddings() {}

    static void embed(Exchange exchange, Fields request, Model model, String name) {
        List<String> texts = request.texts("input");
        if (texts.isEmpty()) {
            throw request.bad("input", request.has("input") ? "is empty" : "is missing");
        }
        vectors(model, name, texts);
    }

    static void rerank(Exchange exchange, Fields request, Model model, String name) {
        request.requiredText("query");
        if (request.texts("documents").isEmpty()) {
            throw request.bad("documents", request.has("documents") ? "is empty" : "is missing");
        }
        vectors(model, name, request.texts("documents"));
    }

    /** What stands for the texts: here a model that embeds is to be asked. */
    private static float[][] vectors(Model model, String name, List<String> texts) {
        throw ApiException.of(501, "not_supported_error", "not_supported",
                "the model " + name + " of the architecture " + model.info().architecture()
                        + " generates text and cannot embed " + texts.size() + " texts");
    }
}
