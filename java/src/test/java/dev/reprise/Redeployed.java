package dev.reprise;

import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.bytedeco.javacpp.IntPointer;

/** An application within a class loader of its own; {@link Redeployments} loads it. */
public final class Redeployed {
    /** As an application that does not end what it began: {@code close()} is for programs that go on. */
    private static final List<Object> NEVER_CLOSED = new ArrayList<>();

    private Redeployed() {}

    /** Uses all that starts threads, calls back or waits to be freed. */
    public static void run(String model, boolean closes) throws Exception {
        GenerationOptions options = GenerationOptions.builder().maxTokens(5).sampling(Sampling.greedy()).build();
        List<Long> told = new ArrayList<>();
        ModelOptions loading = ModelOptions.builder().threads(2).progress((done, total) -> told.add(done)).build();
        Model opened = Model.load(Path.of(model), loading);
        Session session = opened.newSession();
        if (session.complete("Once upon", options).ids().length != 5 || told.isEmpty()) {
            throw new AssertionError("five tokens and progress were expected");
        }
        session.generate("a time", options).iterator().next();  // and is left there
        CompletableFuture<Generation> later = opened.newSession().completeAsync("there was", options);
        later.get();
        new IntPointer(1000).put(1);  // garbage of another user of JavaCPP
        try {
            Model.load(Path.of("/nonexistent"));
            throw new AssertionError("there is no such model");
        } catch (UncheckedIOException e) {
            Backend.describe();
        }
        if (closes) {
            session.close();
            opened.close();
        } else {
            NEVER_CLOSED.add(session);
            NEVER_CLOSED.add(opened);
            NEVER_CLOSED.add(ModelFile.open(Path.of(model)));
        }
    }
}
