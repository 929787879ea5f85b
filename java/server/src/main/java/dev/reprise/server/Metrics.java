package dev.reprise.server;

import dev.reprise.SessionStatistics;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongSupplier;

/** Counts of the server, in the text format that Prometheus reads. */
final class Metrics {
    private static final double[] SECONDS = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
    private static final double[] TOKEN_SECONDS = {.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1};

    /** Times, by how many were at most so long. */
    private static final class Histogram {
        private final double[] bounds;
        private final long[] counts;
        private double sum;
        private long count;

        Histogram(double[] bounds) {
            this.bounds = bounds;
            counts = new long[bounds.length];
        }

        synchronized void observe(double value) {
            for (int i = 0; i < bounds.length; i++) {
                counts[i] += value <= bounds[i] ? 1 : 0;
            }
            sum += value;
            count++;
        }

        synchronized void write(String name, String help, StringBuilder out) {
            head(name, help, "histogram", out);
            for (int i = 0; i < bounds.length; i++) {
                out.append(name).append("_bucket{le=\"").append(bounds[i]).append("\"} ")
                        .append(counts[i]).append('\n');
            }
            out.append(name).append("_bucket{le=\"+Inf\"} ").append(count).append('\n');
            out.append(name).append("_sum ").append(String.format(Locale.ROOT, "%.6f", sum)).append('\n');
            out.append(name).append("_count ").append(count).append('\n');
        }
    }

    /** A model's sums over sessions that have ended, and its state as the last of them left it. */
    private static final class ModelCounts {
        long kvBytes;
        long kvKeptBytes;
        long steps;
        long rows;
        long captures;
        long replays;
        long eagerSteps;
        long prefixTokens;
        long evaluatedTokens;
        long generatedTokens;

        synchronized void add(SessionStatistics session) {
            kvBytes = session.modelKvBytes();
            kvKeptBytes = session.modelKvKeptBytes();
            steps = Math.max(steps, session.modelSteps());
            rows = Math.max(rows, session.modelRows());
            captures += session.captures();
            replays += session.graphReplays();
            eagerSteps += session.eagerSteps();
            prefixTokens += session.prefixTokens();
            evaluatedTokens += session.prefillTokens();
            generatedTokens += session.generatedTokens();
        }
    }

    private final Map<String, LongAdder> requests = new ConcurrentSkipListMap<>();
    private final Map<String, ModelCounts> models = new ConcurrentSkipListMap<>();
    private final LongAdder promptTokens = new LongAdder();
    private final LongAdder completionTokens = new LongAdder();
    private final LongAdder clientsGone = new LongAdder();
    private final Histogram duration = new Histogram(SECONDS);
    private final Histogram firstToken = new Histogram(SECONDS);
    private final Histogram perToken = new Histogram(TOKEN_SECONDS);
    private final Map<String, LongSupplier> gauges = new TreeMap<>();

    /** A number that is asked for where it is shown. */
    void gauge(String name, LongSupplier value) {
        gauges.put(name, value);
    }

    /** A request that was answered. */
    void answered(String path, int status, double seconds) {
        requests.computeIfAbsent("path=\"" + path + "\",status=\"" + status + "\"", key -> new LongAdder()).increment();
        duration.observe(seconds);
    }

    void clientGone() {
        clientsGone.increment();
    }

    void prompt(int tokens) {
        promptTokens.add(tokens);
    }

    /** The first piece of an answer, since the request was complete. */
    void firstToken(double seconds) {
        firstToken.observe(seconds);
    }

    /** An answer's tokens, and the time from the first of them to the last. */
    void generated(int tokens, double seconds) {
        completionTokens.add(tokens);
        if (tokens > 1) {
            perToken.observe(seconds / (tokens - 1));
        }
    }

    /** What a session of a model did. */
    void session(String model, SessionStatistics statistics) {
        models.computeIfAbsent(model, key -> new ModelCounts()).add(statistics);
    }

    private static void head(String name, String help, String type, StringBuilder out) {
        out.append("# HELP ").append(name).append(' ').append(help).append('\n');
        out.append("# TYPE ").append(name).append(' ').append(type).append('\n');
    }

    private static void counter(String name, String help, LongAdder value, StringBuilder out) {
        head(name, help, "counter", out);
        out.append(name).append(' ').append(value.sum()).append('\n');
    }

    private interface Value {
        long of(ModelCounts counts);
    }

    private void ofModels(String name, String help, String type, Value value, StringBuilder out) {
        head(name, help, type, out);
        models.forEach((model, counts) -> {
            synchronized (counts) {
                out.append(name).append("{model=\"")
                        .append(model.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n"))
                        .append("\"} ").append(value.of(counts)).append('\n');
            }
        });
    }

    String text() {
        StringBuilder out = new StringBuilder();
        head("reprise_requests_total", "Requests answered.", "counter", out);
        requests.forEach((labels, count) -> out.append("reprise_requests_total{").append(labels).append("} ")
                .append(count.sum()).append('\n'));
        counter("reprise_clients_gone_total", "Clients that left before their answer was complete.", clientsGone, out);
        gauges.forEach((name, value) -> {
            head(name, "Now.", "gauge", out);
            out.append(name).append(' ').append(value.getAsLong()).append('\n');
        });
        counter("reprise_prompt_tokens_total", "Tokens of prompts.", promptTokens, out);
        counter("reprise_completion_tokens_total", "Tokens of answers.", completionTokens, out);
        duration.write("reprise_request_duration_seconds", "From a complete request to the end of its answer.", out);
        firstToken.write("reprise_time_to_first_token_seconds", "From a complete request to its first token.", out);
        perToken.write("reprise_time_per_token_seconds", "Between two tokens of an answer, in the mean.", out);
        ofModels("reprise_prefill_tokens_total", "Prompt tokens evaluated.", "counter", c -> c.evaluatedTokens, out);
        ofModels("reprise_prefix_tokens_total", "Prompt tokens taken over from equal beginnings.", "counter",
                c -> c.prefixTokens, out);
        ofModels("reprise_decoded_tokens_total", "Tokens decoded.", "counter", c -> c.generatedTokens, out);
        ofModels("reprise_steps_total", "Steps that sessions shared.", "counter", c -> c.steps, out);
        ofModels("reprise_step_rows_total", "Tokens evaluated by those steps.", "counter", c -> c.rows, out);
        ofModels("reprise_eager_steps_total", "Decode steps without a graph.", "counter", c -> c.eagerSteps, out);
        ofModels("reprise_graph_captures_total", "CUDA graphs captured.", "counter", c -> c.captures, out);
        ofModels("reprise_graph_replays_total", "CUDA graphs replayed.", "counter", c -> c.replays, out);
        ofModels("reprise_kv_bytes", "Keys and values held by sessions.", "gauge", c -> c.kvBytes, out);
        ofModels("reprise_kv_kept_bytes", "Keys and values kept for prompts that begin alike.", "gauge",
                c -> c.kvKeptBytes, out);
        return out.toString();
    }
}
