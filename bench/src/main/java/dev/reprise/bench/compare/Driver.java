package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.JsonNode;
import dev.reprise.Generation;
import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.ModelOptions;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.SessionOptions;
import dev.reprise.Token;
import dev.reprise.TokenStream;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;

/**
 * A Java program that uses Reprise as any other would: arguments are the model file, the context length and the number
 * of threads. Reads requests from standard input, one JSON object a line, and answers each in a line: {@code {"prompt",
 * "maxTokens"}} with a {@link Results.Reply}, {@code {"prompts", "maxTokens"}} with an array of them, the answers of as
 * many sessions at the same time, {@code {"prompt", "marginBehind"}} with {@code {"margin"}}. The line {@code {}} says
 * that the model is loaded.
 */
final class Driver {
    private final Model model;
    private final SessionOptions options;
    private final Session session;

    private Driver(Model model, SessionOptions options, Session session) {
        this.model = model;
        this.options = options;
        this.session = session;
    }

    public static void main(String[] args) throws IOException {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        ModelOptions modelOptions = ModelOptions.builder().threads(Integer.parseInt(args[2])).build();
        SessionOptions sessionOptions = SessionOptions.builder()
                .contextLength(Integer.parseInt(args[1]))
                .prefixSharing(false)  // rounds evaluate the same prompts, as the peers do
                .build();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Model model = Model.load(Path.of(args[0]), modelOptions);
                Session session = model.newSession(sessionOptions)) {
            Driver driver = new Driver(model, sessionOptions, session);
            out.println("{}");
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                JsonNode request = Http.JSON.readTree(line);
                out.println(Http.JSON.writeValueAsString(driver.answer(request)));
            }
        }
    }

    private Object answer(JsonNode request) throws IOException {
        if (request.has("prompts")) {
            List<String> prompts = new ArrayList<>();
            request.get("prompts").forEach(prompt -> prompts.add(prompt.textValue()));
            return completeTogether(prompts, request.get("maxTokens").intValue());
        }
        String prompt = request.get("prompt").textValue();
        return request.has("marginBehind")
                ? Map.of("margin", margin(prompt, request.get("marginBehind").intValue()))
                : complete(session, prompt, request.get("maxTokens").intValue());
    }

    private static GenerationOptions greedy(int maxTokens) {
        return GenerationOptions.builder().maxTokens(maxTokens).sampling(Sampling.greedy()).build();
    }

    private double margin(String prompt, int tokens) {
        session.reset();
        if (tokens == 0) {
            session.evaluate(prompt, false);
        } else {
            session.complete(prompt, greedy(tokens));
        }
        float best = Float.NEGATIVE_INFINITY;
        float second = best;
        for (float logit : session.logits()) {
            if (logit > best) {
                second = best;
                best = logit;
            } else if (logit > second) {
                second = logit;
            }
        }
        return best - second;
    }

    private List<Results.Reply> completeTogether(List<String> prompts, int maxTokens) throws IOException {
        return Together.run(prompts.stream()
                .map(prompt -> (Callable<Results.Reply>) () -> {
                    try (Session own = model.newSession(options)) {
                        return complete(own, prompt, maxTokens);
                    }
                })
                .toList());
    }

    private static Results.Reply complete(Session session, String prompt, int maxTokens) {
        Arrivals arrivals = new Arrivals();
        session.reset();
        TokenStream stream = session.generate(prompt, greedy(maxTokens));
        for (Token token : stream) {
            arrivals.add(token.text());
        }
        Generation generation = stream.result();
        int behindFirst = arrivals.count() - 1;
        Double outside = null;
        if (behindFirst > 0) {
            // Its rate counts the time within native calls behind the first token, and nothing else.
            double insideNanos = behindFirst * 1e9 / generation.decodeTokensPerSecond();
            outside = (arrivals.nanosBehindFirst() - insideNanos) * 1e-3 / behindFirst;
        }
        return arrivals.end(generation.promptTokens(), arrivals.count(), generation.promptTokensPerSecond(),
                generation.decodeTokensPerSecond(), outside);
    }
}
