package dev.reprise.server;

import dev.reprise.Model;
import dev.reprise.SessionOptions;
import io.netty.channel.EventLoopGroup;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** What there is to ask for. */
final class Api {
    /** Threads that read requests, and that count and cut tokens: neither is to wait for generations. */
    private static final int READERS = 2;
    private static final int COUNTERS = 2;
    private static final int MOST_UNREAD = 1024;

    private final Routes routes = new Routes();
    private final Models models;
    private final Metrics metrics;
    private final Work work;
    private final SessionOptions session;
    private final int mostTokens;
    private final Pool readers;
    private final Pool counters;
    private final Pool generators;
    private final long created = Instant.now().getEpochSecond();

    Api(ServerOptions options, Models models, Metrics metrics, EventLoopGroup timers) {
        this.models = models;
        this.metrics = metrics;
        work = new Work(models, metrics, timers, options.requestTime.toMillis());
        session = options.session;
        mostTokens = options.maxTokens;
        readers = new Pool("reprise-read", READERS, MOST_UNREAD);
        counters = new Pool("reprise-count", COUNTERS, MOST_UNREAD);
        generators = new Pool("reprise-generate", options.parallel, options.queue);
        metrics.gauge("reprise_requests_running", generators::running);
        metrics.gauge("reprise_requests_waiting", generators::waiting);
        metrics.gauge("reprise_models_loaded",
                () -> models.entries().stream().filter(Models.Entry::isLoaded).count());
        addRoutes();
    }

    private void addRoutes() {
        routes.add("GET", "/", true, Page::send);
        routes.add("GET", "/health", true, exchange -> exchange.json(200, Doc.of("status", "ok")));
        routes.add("GET", "/v1/models", false, exchange -> exchange.json(200, modelList()));
        routes.add("GET", "/v1/models/", false, this::model);
        routes.add("GET", "/metrics", false, exchange -> exchange.respond(200, "text/plain; version=0.0.4",
                metrics.text().getBytes(StandardCharsets.UTF_8)));
        routes.add("POST", "/v1/chat/completions", false, this::chatCompletion);
        routes.add("POST", "/v1/completions", false, this::completion);
        routes.add("POST", "/v1/responses", false, this::response);
        routes.add("POST", "/v1/messages", false, this::message);
        routes.add("POST", "/v1/messages/count_tokens", false, this::countTokens);
        routes.add("POST", "/v1/embeddings", false, this::embeddings);
        routes.add("POST", "/v1/rerank", false, this::rerank);
        routes.add("POST", "/tokenize", false, this::tokenize);
        routes.add("POST", "/detokenize", false, this::detokenize);
    }

    Routes routes() {
        return routes;
    }

    /** Answers a request in a thread that may take its time. */
    void handle(Exchange exchange, Routes.Route route) {
        boolean accepted = readers.submit(() -> {
            try {
                route.handler().handle(exchange);
            } catch (Throwable e) {  // whatever a request leads to, the server goes on
                Work.fail(exchange, e);
            }
        });
        if (!accepted) {
            exchange.addHeader("Retry-After", "1");
            Work.fail(exchange, ApiException.of(429, "rate_limit_error", "queue_full",
                    "the server has as many requests as it takes: try again later"));
        }
    }

    /** Lets what runs and waits end; what takes longer is torn off where the connections close. */
    void stop(long nanos) {
        long deadline = System.nanoTime() + nanos;
        try {
            for (Pool pool : List.of(readers, counters, generators)) {
                pool.stop();
                pool.awaitEnd(Math.max(0, deadline - System.nanoTime()));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    // ---- models ----------------------------------------------------------------------------------------------------

    private Map<String, Object> modelDocument(Models.Entry entry) {
        return Doc.of("id", entry.name(), "object", "model", "created", created, "owned_by", "reprise",
                "type", "model", "display_name", entry.name(), "created_at", Instant.ofEpochSecond(created).toString(),
                "loaded", entry.isLoaded());
    }

    /** As OpenAI's clients and Anthropic's read it. */
    private Map<String, Object> modelList() {
        List<Object> documents = new ArrayList<>();
        models.entries().forEach(entry -> documents.add(modelDocument(entry)));
        List<Models.Entry> entries = models.entries();
        return Doc.of("object", "list", "data", documents, "has_more", false,
                "first_id", entries.get(0).name(), "last_id", entries.get(entries.size() - 1).name());
    }

    private void model(Exchange exchange) {
        String name = exchange.path().substring("/v1/models/".length());
        try {
            name = URLDecoder.decode(name.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException e) {
            throw ApiException.badRequest(null, "the path is not encoded as URLs are");
        }
        exchange.json(200, modelDocument(models.find(name)));
    }

    // ---- generating ------------------------------------------------------------------------------------------------

    /** A request as it was sent, and the model that it is for. */
    private record Asked(Fields request, Models.Entry entry) {}

    private Asked read(Exchange exchange) {
        Fields request = Fields.parse(exchange.text());
        return new Asked(request, models.find(request.text("model").orElse(null)));
    }

    private void chatCompletion(Exchange exchange) {
        Asked asked = read(exchange);
        Fields request = asked.request();
        ChatCall call = ChatCompletions.read(request, session, mostTokens);
        boolean streams = request.isTrue("stream");
        boolean usage = ChatCompletions.wantsUsage(request);
        boolean logprobs = call.generation().logprobs();
        chat(exchange, asked.entry(), call, model -> new ChatCompletionWriter(exchange, asked.entry().name(), streams,
                usage, logprobs, new TokenDocs(model.tokenizer())));
    }

    private void response(Exchange exchange) {
        Asked asked = read(exchange);
        ChatCall call = Responses.read(asked.request(), session, mostTokens);
        AnswerWriter writer = new ResponseWriter(exchange, asked.request(), asked.entry().name());
        chat(exchange, asked.entry(), call, model -> writer);
    }

    private void message(Exchange exchange) {
        Asked asked = read(exchange);
        ChatCall call = AnthropicMessages.read(asked.request(), session, mostTokens, false);
        boolean streams = asked.request().isTrue("stream");
        chat(exchange, asked.entry(), call, model -> new AnthropicWriter(exchange, asked.entry().name(), streams,
                call.generation().stop(), model.tokenizer()));
    }

    private void chat(Exchange exchange, Models.Entry entry, ChatCall call, Function<Model, AnswerWriter> writer) {
        work.submit(generators, exchange, entry, model ->
                new ChatRunner(exchange, metrics, entry.name(), writer.apply(model)).run(model, call));
    }

    private void completion(Exchange exchange) {
        Asked asked = read(exchange);
        Completions completions = new Completions(
                exchange, metrics, asked.request(), asked.entry().name(), session, mostTokens);
        work.submit(generators, exchange, asked.entry(), completions::run);
    }

    // ---- without generating ----------------------------------------------------------------------------------------

    private void countTokens(Exchange exchange) {
        Asked asked = read(exchange);
        ChatCall call = AnthropicMessages.read(asked.request(), session, mostTokens, true);
        work.submit(counters, exchange, asked.entry(), model -> {
            ChatRunner.checkTemplate(model, asked.entry().name());
            exchange.json(200, Doc.of("input_tokens", model.promptIds(call.messages(), call.options()).length));
        });
    }

    private void tokenize(Exchange exchange) {
        Asked asked = read(exchange);
        work.submit(counters, exchange, asked.entry(),
                model -> TokenEndpoints.tokenize(exchange, asked.request(), model));
    }

    private void detokenize(Exchange exchange) {
        Asked asked = read(exchange);
        work.submit(counters, exchange, asked.entry(),
                model -> TokenEndpoints.detokenize(exchange, asked.request(), model));
    }

    private void embeddings(Exchange exchange) {
        Asked asked = read(exchange);
        work.submit(generators, exchange, asked.entry(),
                model -> Embeddings.embed(exchange, asked.request(), model, asked.entry().name()));
    }

    private void rerank(Exchange exchange) {
        Asked asked = read(exchange);
        work.submit(generators, exchange, asked.entry(),
                model -> Embeddings.rerank(exchange, asked.request(), model, asked.entry().name()));
    }
}
