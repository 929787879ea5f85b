package dev.reprise.bench.compare;

import java.io.IOException;
import java.util.List;

/** A way to get text from a model, as a program would use it. */
interface Application extends AutoCloseable {
    /** "in-process" or "HTTP". */
    String transport();

    /** Seconds that it took until the model could be asked; known after the first {@link #complete}. */
    double loadSeconds();

    /** Resident memory on the host, in bytes; 0 if it cannot be told. */
    long hostBytes();

    /** Continues a prompt greedily, without penalties, from an empty context. */
    Results.Reply complete(String prompt, int maxTokens) throws IOException;

    /** Continues several prompts so at the same time, as {@link #complete} does each. */
    List<Results.Reply> completeTogether(List<String> prompts, int maxTokens) throws IOException;

    /**
     * How far the best logit is ahead of the second behind the prompt and that many greedy tokens; null where an
     * application does not tell.
     */
    default Double margin(String prompt, int tokens) throws IOException {
        return null;
    }

    @Override
    void close();
}
