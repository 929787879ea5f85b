package dev.reprise.bench.compare;

import dev.reprise.bench.compare.Results.Agreement;
import dev.reprise.bench.compare.Results.ApplicationRun;
import dev.reprise.bench.compare.Results.Reply;
import dev.reprise.bench.compare.Results.Request;
import dev.reprise.bench.compare.Results.TogetherRun;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The same prompts through each application. They stay loaded side by side; a first pass, which also warms up, compares
 * their texts, then every round asks each of them for every prompt, in turns. Every prompt starts with a number of its
 * own, so that no cache has seen it.
 */
final class ApplicationComparison implements AutoCloseable {
    /** Starts an application. */
    interface Starter {
        Application start() throws IOException;
    }

    /** A prompt and how many tokens may follow it. */
    record Prompt(String text, int maxTokens) {}

    /** Of one number of requests at the same time. */
    private static final class Gathered {
        final List<Double> samples = new ArrayList<>();
        final List<Integer> gapMicros = new ArrayList<>();
    }

    private static final class Running {
        final Application application;
        final List<Request> requests = new ArrayList<>();
        final Map<Integer, Gathered> together = new LinkedHashMap<>();
        long deviceBytes;
        long hostBytes;

        Running(Application application) {
            this.application = application;
        }
    }

    private final List<Prompt> prompts;
    private final Optional<Gpu> gpu;
    private final Failures failures;
    private final Map<String, Running> running = new LinkedHashMap<>();
    private int uniqueNumber = 100;

    ApplicationComparison(List<Prompt> prompts, Optional<Gpu> gpu, Failures failures) {
        this.prompts = prompts;
        this.gpu = gpu;
        this.failures = failures;
    }

    /** Starts an application and asks it something, so that it is wholly loaded. */
    void add(String name, Starter starter) {
        long before = gpu.map(Gpu::usedBytes).orElse(0L);
        try {
            Running added = new Running(starter.start());
            running.put(name, added);
            try {
                added.application.complete(unique(prompts.get(0)), Math.min(8, prompts.get(0).maxTokens()));
            } catch (UnfinishedAnswerException e) {
                failures.add(name + ", an answer", e);
            }
            added.deviceBytes = gpu.map(Gpu::usedBytes).orElse(0L) - before;
        } catch (IOException | RuntimeException e) {
            drop(name, e);
        }
    }

    private String unique(Prompt prompt) {
        return uniqueNumber++ + ". " + prompt.text();
    }

    private void drop(String name, Exception failure) {
        failures.add(name, failure);
        Running gone = running.remove(name);
        if (gone != null) {
            close(name, gone.application);
        }
    }

    /** Compares the texts of the others with those of one; empty if that one has failed. */
    List<Agreement> agreement(String referenceName) {
        List<Agreement> result = new ArrayList<>();
        for (int p = 0; p < prompts.size(); p++) {
            String prompt = unique(prompts.get(p));
            Map<String, Reply> replies = askAll(prompt, prompts.get(p).maxTokens());
            Reply reference = replies.remove(referenceName);
            if (reference != null) {
                for (Map.Entry<String, Reply> reply : replies.entrySet()) {
                    String other = reply.getValue().text();
                    int difference = firstDifference(reference.pieces(), other);
                    Double margin = difference < 0 ? null : margin(referenceName, prompt, difference);
                    result.add(new Agreement(
                            reply.getKey(), p, reference.tokens(), difference, margin, reference.text(), other));
                }
            }
        }
        return result;
    }

    private Double margin(String name, String prompt, int tokens) {
        try {
            return running.get(name).application.margin(prompt, tokens);
        } catch (IOException e) {
            failures.add(name, e);
            return null;
        }
    }

    /**
     * The first piece that the other text does not have at its place, or where that text goes on; -1 if they are equal.
     */
    static int firstDifference(List<String> pieces, String other) {
        // A character that the last token leaves incomplete is U+FFFD here and nothing there, or the reverse.
        String text = withoutReplacement(String.join("", pieces));
        String otherText = withoutReplacement(other);
        if (text.equals(otherText)) {
            return -1;
        }
        int at = 0;
        for (int i = 0; i < pieces.size(); i++) {
            if (!otherText.startsWith(pieces.get(i), at)) {
                return i;
            }
            at += pieces.get(i).length();
        }
        return pieces.size();
    }

    private static String withoutReplacement(String text) {
        int end = text.length();
        while (end > 0 && text.charAt(end - 1) == '\uFFFD') {
            end--;
        }
        return text.substring(0, end);
    }

    /** Every prompt by every application once. */
    void round(int round) {
        for (int p = 0; p < prompts.size(); p++) {
            Map<String, Reply> replies = askAll(unique(prompts.get(p)), prompts.get(p).maxTokens());
            for (Map.Entry<String, Reply> reply : replies.entrySet()) {
                running.get(reply.getKey()).requests.add(new Request(p, round, reply.getValue().withoutText()));
            }
        }
    }

    /** So many requests at the same time to every application, the prompts in turn. */
    void together(int requests) {
        int maxTokens = prompts.stream().mapToInt(Prompt::maxTokens).min().orElse(0);
        for (String name : List.copyOf(running.keySet())) {
            Running asked = running.get(name);
            List<String> texts = new ArrayList<>();
            for (int i = 0; i < requests; i++) {
                texts.add(unique(prompts.get(i % prompts.size())));
            }
            try {
                long start = System.nanoTime();
                List<Reply> replies = asked.application.completeTogether(texts, maxTokens);
                double seconds = (System.nanoTime() - start) * 1e-9;
                Gathered gathered = asked.together.computeIfAbsent(requests, key -> new Gathered());
                gathered.samples.add(replies.stream().mapToInt(Reply::tokens).sum() / seconds);
                replies.forEach(reply -> gathered.gapMicros.addAll(reply.gapMicros()));
            } catch (UnfinishedAnswerException e) {
                failures.add(name + ", an answer", e);
            } catch (IOException | RuntimeException e) {
                drop(name, e);
            }
        }
    }

    List<TogetherRun> togetherResults() {
        List<TogetherRun> results = new ArrayList<>();
        running.forEach((name, each) -> each.together.forEach((requests, gathered) -> {
            Samples gaps = new Samples(gathered.gapMicros.isEmpty() ? List.of(0) : gathered.gapMicros);
            results.add(new TogetherRun(name, each.application.transport(), requests, gathered.samples,
                    gaps.quantile(0.5) * 1e-3, gaps.quantile(0.99) * 1e-3));
        }));
        return results;
    }

    private Map<String, Reply> askAll(String prompt, int maxTokens) {
        Map<String, Reply> replies = new LinkedHashMap<>();
        for (String name : List.copyOf(running.keySet())) {
            Running asked = running.get(name);
            try {
                replies.put(name, asked.application.complete(prompt, maxTokens));
                asked.hostBytes = Math.max(asked.hostBytes, asked.application.hostBytes());
            } catch (UnfinishedAnswerException e) {
                failures.add(name + ", an answer", e);
            } catch (IOException | RuntimeException e) {
                drop(name, e);
            }
        }
        return replies;
    }

    List<ApplicationRun> results() {
        List<ApplicationRun> results = new ArrayList<>();
        for (Map.Entry<String, Running> entry : running.entrySet()) {
            Running each = entry.getValue();
            if (each.requests.isEmpty()) {
                continue;  // every answer broke off
            }
            results.add(new ApplicationRun(entry.getKey(), each.application.transport(), each.application.loadSeconds(),
                    each.hostBytes, Math.max(0, each.deviceBytes), each.requests));
        }
        return results;
    }

    @Override
    public void close() {
        running.forEach((name, each) -> close(name, each.application));
        running.clear();
    }

    private void close(String name, Application application) {
        try {
            application.close();
        } catch (RuntimeException e) {
            failures.add(name, e);
        }
    }
}
