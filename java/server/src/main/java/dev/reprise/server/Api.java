package dev.reprise.server;

import dev.reprise.SessionOptions;
import io.netty.channel.EventLoopGroup;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

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
        routes.add("GET", "/health", true, exchange -> exchange.json(200, Doc.of("status", "ok")));
        routes.add("GET", "/v1/models", false, exchange -> exchange.json(200, modelList()));
        routes.add("GET", "/v1/models/", false, this::model);
        routes.add("GET", "/metrics", false, exchange -> exchange.respond(200, "text/plain; version=0.0.4",
                metrics.text().getBytes(StandardCharsets.UTF_8)));
        routes.add("POST", "/v1/chat/completions", false, this::chatCompletion);
        routes.add("POST", "/v1/completions", false, this::completion);
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

    private void chatCompletion(Exchange exchange) {
        Fields request = Fields.parse(exchange.text());
        Models.Entry entry = models.find(request.text("model").orElse(null));
        ChatCall call = ChatCompletions.read(request, session, mostTokens);
        boolean streams = request.isTrue("stream");
        boolean usage = ChatCompletions.wantsUsage(request);
        boolean logprobs = call.generation().logprobs();
        work.submit(generators, exchange, entry, model -> {
            AnswerWriter writer = new ChatCompletionWriter(
                    exchange, entry.name(), streams, usage, logprobs, new TokenDocs(model.tokenizer()));
            new ChatRunner(exchange, metrics, entry.name(), writer).run(model, call);
        });
    }

    private void completion(Exchange exchange) {
        Fields request = Fields.parse(exchange.text());
        Models.Entry entry = models.find(request.text("model").orElse(null));
        Completions completions =
                new Completions(exchange, metrics, request, entry.name(), session, mostTokens);
        work.submit(generators, exchange, entry, completions::run);
    }
}
