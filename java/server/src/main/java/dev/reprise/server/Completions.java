package dev.reprise.server;

import dev.reprise.CancelledException;
import dev.reprise.ContextOverflowException;
import dev.reprise.FinishReason;
import dev.reprise.Generation;
import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Prompt;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.SessionOptions;
import dev.reprise.SessionStatistics;
import dev.reprise.Token;
import dev.reprise.TokenStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** {@code POST /v1/completions}: continues plain texts. */
final class Completions {
    private static final int MOST_ANSWERS = 32;
    private static final int MOST_PROMPTS = 128;
    private static final int MOST_TOP_LOGPROBS = 20;

    /** A text or ids, and what stands in front of the answer where it is to be repeated. */
    private record Start(Prompt prompt, String text) {}

    private final Exchange exchange;
    private final Metrics metrics;
    private final Fields request;
    private final String modelName;
    private final SessionOptions sessionOptions;

    private final GenerationOptions generation;
    private final Sampling sampling;
    private final int answers;
    private final boolean echo;
    private final boolean streams;
    private final boolean usageInStream;
    private final boolean logprobs;
    private final Map<String, Object> head;
    private final List<Object> choices = new ArrayList<>();
    private final Usage usage = new Usage();
    private TokenDocs tokenDocs;

    Completions(Exchange exchange, Metrics metrics, Fields request, String modelName, SessionOptions sessionOptions,
            int mostTokens) {
        this.exchange = exchange;
        this.metrics = metrics;
        this.request = request;
        this.modelName = modelName;
        this.sessionOptions = sessionOptions;
        answers = request.integer("n", 1, MOST_ANSWERS).orElse(1);
        echo = request.isTrue("echo");
        streams = request.isTrue("stream");
        usageInStream = ChatCompletions.wantsUsage(request);
        sampling = Sampler.read(request).build();
        GenerationOptions.Builder builder = GenerationOptions.builder();
        Sampler.readStop(request, "stop", builder);
        ChatCompletions.readLength(request, mostTokens, builder, "max_tokens");
        builder.constraint(Tools.extension(request, null));
        logprobs = request.has("logprobs");
        request.integer("logprobs", 0, MOST_TOP_LOGPROBS).ifPresent(builder::topLogprobs);
        generation = builder.logprobs(logprobs).build();
        request.integer("best_of", 1, MOST_ANSWERS).ifPresent(bestOf -> {
            if (bestOf != answers) {
                throw request.bad("best_of", "is " + bestOf + ", only the value of n, " + answers + ", is supported");
            }
        });
        if (echo && request.has("suffix")) {
            throw request.bad("echo", "does not go with suffix");
        }
        prompts(null);  // what is wrong with them shows before anything waits
        head = Doc.of("id", Ids.random("cmpl-", 24), "object", "text_completion",
                "created", System.currentTimeMillis() / 1000, "model", modelName);
    }

    // ---- the prompts -----------------------------------------------------------------------------------------------

    private List<Start> prompts(Model model) {
        Object value = request.value("prompt");
        if (value == null) {
            throw request.bad("prompt", "is missing: it has to be a string, or an array of strings or of token ids");
        }
        List<Start> prompts = new ArrayList<>();
        if (value instanceof List<?> list && !list.isEmpty() && !(list.get(0) instanceof Number)) {
            for (Object element : list) {
                prompts.add(prompt(element, "prompt[" + prompts.size() + "]", model));
            }
        } else {
            prompts.add(prompt(value, "prompt", model));
        }
        if (prompts.size() > MOST_PROMPTS) {
            throw request.bad("prompt", "has " + prompts.size() + " texts, at most " + MOST_PROMPTS + " are allowed");
        }
        return prompts;
    }

    private Start prompt(Object value, String path, Model model) {
        if (value instanceof String text) {
            Prompt prompt = request.text("suffix").filter(suffix -> !suffix.isEmpty())
                    .map(suffix -> Prompt.fillInTheMiddle(text, suffix))
                    .orElseGet(() -> request.isTrue("parse_special")
                            ? Prompt.text(text).parseSpecialTokens() : Prompt.text(text));
            return new Start(prompt, text);
        } else if (!(value instanceof List<?> list)) {
            throw ApiException.badRequest(path, path + " has to be a string or an array of token ids");
        } else if (list.isEmpty()) {
            throw ApiException.badRequest(path, path + " is empty");
        } else {
            int[] ids = new int[list.size()];
            for (int i = 0; i < ids.length; i++) {
                if (!(list.get(i) instanceof Long id) || id < 0 || id > Integer.MAX_VALUE) {
                    throw ApiException.badRequest(path, path + " has to hold token ids alone");
                }
                ids[i] = id.intValue();
            }
            return new Start(Prompt.ids(ids), echo && model != null ? model.tokenizer().decode(ids) : "");
        }
    }

    // ---- generating ------------------------------------------------------------------------------------------------

    void run(Model model) throws InterruptedException {
        tokenDocs = new TokenDocs(model.tokenizer());
        int index = 0;
        for (Start start : prompts(model)) {
            for (int answer = 0; answer < answers; answer++) {
                run(model, start, answer, index++);
            }
        }
        finish();
    }

    private void run(Model model, Start start, int answer, int index) throws InterruptedException {
        Sampling.Builder drawn = sampling.toBuilder();
        if (answer > 0) {
            sampling.seed().ifPresent(seed -> drawn.seed(seed + answer));
        }
        GenerationOptions options = generation.toBuilder().sampling(drawn.build()).build();
        try (Session session = model.newSession(sessionOptions);
                TokenStream stream = generate(session, start.prompt(), options)) {
            SessionStatistics prefill = session.statistics();
            int promptTokens = session.position();
            metrics.prompt(promptTokens);
            if (answer == 0) {
                usage.prompt(promptTokens, (int) prefill.prefixTokens());
            }
            if (streams) {
                exchange.beginEvents();
            }
            if (echo && !start.text().isEmpty()) {
                chunk(index, start.text(), List.of(), null);
            }
            long first = 0;
            List<Token> pending = new ArrayList<>();
            int written = 0;
            for (Token token : stream) {
                if (first == 0) {
                    first = System.nanoTime();
                    metrics.firstToken(exchange.seconds());
                }
                pending.add(token);
                if (!token.text().isEmpty()) {
                    written += token.text().length();
                    chunk(index, token.text(), pending, null);
                    pending.clear();
                }
            }
            Generation result = stream.result();
            if (result.finishReason() == FinishReason.CANCELLED) {
                throw new CancelledException("the completion was cancelled");
            }
            usage.completion(result.tokens().size(), 0);
            metrics.generated(result.tokens().size(), (System.nanoTime() - first) / 1e9);
            metrics.session(modelName, session.statistics());
            end(index, start, result, result.text().substring(written));
        }
    }

    private TokenStream generate(Session session, Prompt prompt, GenerationOptions options) {
        try {
            return session.generate(prompt, options);
        } catch (ContextOverflowException e) {
            throw ApiException.badRequest("context_length_exceeded", "prompt", "the prompt is too long: "
                    + e.getMessage().replaceFirst(":.*", ": shorten it, or serve the model with a longer context"), e);
        } catch (IllegalArgumentException | UnsupportedOperationException e) {
            String param = e.getMessage().contains("logit_bias") ? "logit_bias"
                    : options.constraint().isPresent() ? "grammar" : "prompt";
            throw ApiException.badRequest(null, param, e.getMessage(), e);
        }
    }

    // ---- the answer ------------------------------------------------------------------------------------------------

    private void chunk(int index, String text, List<Token> tokens, String finish) throws InterruptedException {
        if (streams) {
            exchange.event(null, document(List.of(choice(index, text, tokens, 0, finish)), null));
        }
    }

    private void end(int index, Start start, Generation result, String rest) throws InterruptedException {
        String finish = ChatCompletionWriter.finishReason(result.finishReason());
        if (streams) {
            chunk(index, rest, List.of(), finish);
        } else {
            String before = echo ? start.text() : "";
            choices.add(choice(index, before + result.text(), result.tokens(), before.length(), finish));
        }
    }

    private Map<String, Object> choice(int index, String text, List<Token> tokens, int offset, String finish) {
        return Doc.of("text", text, "index", index,
                "logprobs", logprobs ? tokenDocs.completion(tokens, offset) : null, "finish_reason", finish);
    }

    private Map<String, Object> document(List<Object> these, Map<String, Object> usageDocument) {
        Map<String, Object> document = new LinkedHashMap<>(head);
        document.put("choices", these);
        if (usageInStream || !streams) {
            document.put("usage", usageDocument);
        }
        return document;
    }

    private void finish() throws InterruptedException {
        if (!streams) {
            exchange.json(200, document(choices, usage.document()));
            return;
        }
        if (usageInStream) {
            exchange.event(null, document(List.of(), usage.document()));
        }
        exchange.event(null, "[DONE]");
        exchange.endEvents();
    }
}
