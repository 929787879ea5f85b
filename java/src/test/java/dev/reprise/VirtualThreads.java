package dev.reprise;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A program that makes long calls on a virtual thread while another one ticks. With one carrier for both, the ticker
 * stands still where a call keeps the carrier. Prints a line per call: its name, how many milliseconds it took and the
 * longest that the ticker stood still meanwhile.
 */
final class VirtualThreads {
    private static final int PROMPT = 8000;
    private static final GenerationOptions GREEDY =
            GenerationOptions.builder().sampling(Sampling.greedy()).maxTokens(300).build();

    private static final AtomicLong LARGEST_GAP = new AtomicLong();

    private VirtualThreads() {}

    /** Starts a virtual thread; the tests are compiled for a Java that has none. */
    static Thread start(Runnable action) {
        try {
            return (Thread) Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, action);
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    private static void tick() {
        long last = System.nanoTime();
        while (true) {
            try {
                Thread.sleep(1);
            } catch (InterruptedException e) {
                return;
            }
            long now = System.nanoTime();
            LARGEST_GAP.accumulateAndGet(now - last, Math::max);
            last = now;
        }
    }

    private static void measure(String name, Runnable call) throws InterruptedException {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        CountDownLatch done = new CountDownLatch(1);
        Thread.sleep(50);
        LARGEST_GAP.set(0);
        long begin = System.nanoTime();
        start(() -> {
            try {
                call.run();
            } catch (Throwable e) {
                thrown.set(e);
            } finally {
                done.countDown();
            }
        });
        done.await();
        long taken = System.nanoTime() - begin;
        // The ticker ends the gap that it may be in.
        Thread.sleep(50);
        if (thrown.get() != null) {
            throw new AssertionError(name, thrown.get());
        }
        System.out.printf("%s %d %d%n", name, taken / 1_000_000, LARGEST_GAP.get() / 1_000_000);
    }

    /** For as long as it takes to tell. Between two calls a virtual thread does not leave its carrier. */
    private static Runnable again(Runnable call) {
        return () -> {
            long end = System.nanoTime() + 300_000_000L;
            while (System.nanoTime() < end) {
                call.run();
            }
        };
    }

    private static void measureCopies(Model model, Path saved) throws InterruptedException {
        List<Session> forks = new ArrayList<>();
        try (Session session = model.newSession(SessionOptions.builder().contextLength(64).build())) {
            session.evaluate(new int[] {1, 2, 3});
            measure("fork", again(() -> forks.add(session.fork())));
            measure("save", again(() -> session.save(saved)));
            measure("restore", again(() -> forks.add(model.restore(saved))));
        } finally {
            forks.forEach(Session::close);
        }
    }

    private static void measureText(Model model) throws InterruptedException {
        String text = "Once upon a time there was a little girl. ".repeat(100_000);
        measure("encode", again(() -> model.tokenizer().encode(text)));
        ChatTemplate template = ChatTemplate.of(
                "{% for i in range(messages) %}{% for j in range(100) %}{{ j }}{% endfor %}{% endfor %}");
        measure("render", again(() -> template.render("{\"messages\": 100}")));
        measure("renderTokens", again(() -> template.encode("{\"messages\": 10}", model.tokenizer(), null)));
        AtomicInteger length = new AtomicInteger();
        measure("compile", again(() -> model.compile(Constraint.regex("a{" + length.incrementAndGet() + "}"))));
    }

    /** @param arguments a model with a context of more than 8000 tokens, the story model, and a file to write */
    public static void main(String[] arguments) throws InterruptedException {
        Path longContext = Path.of(arguments[0]);
        Path stories = Path.of(arguments[1]);
        ModelOptions.Builder slow = ModelOptions.builder().device(Device.CPU).exact(true).threads(1);
        start(VirtualThreads::tick);
        int[] prompt = new int[PROMPT];
        Arrays.setAll(prompt, i -> i % 250);
        SessionOptions room = SessionOptions.builder().contextLength(PROMPT + 64).build();

        AtomicReference<Model> loaded = new AtomicReference<>();
        measure("load", () -> loaded.set(Model.load(longContext, slow.progress(new SlowListener()).build())));
        try (Model model = loaded.get();
                Session session = model.newSession(room)) {
            measure("evaluate", () -> session.evaluate(prompt));
            session.reset();
            measure("generate", () -> session.generate(prompt, GREEDY).close());
            measureCopies(model, Path.of(arguments[2]));
        }
        try (Model model = Model.load(stories, slow.progress(null).build());
                Session session = model.newSession()) {
            measure("complete", () -> session.complete("Once upon a time", GREEDY));
            session.reset();
            measure("stream", () -> session.generate("Once upon a time", GREEDY).forEach(token -> {}));
            session.reset();
            measure("completeAsync", () -> session.completeAsync("Once upon a time", GREEDY).join());
            measureText(model);
        }
    }

    /** As if the file came from a slow disk. */
    private static final class SlowListener implements ModelOptions.Progress {
        private boolean called;

        @Override
        public void update(long doneBytes, long totalBytes) {
            if (!called) {
                called = true;
                long end = System.nanoTime() + 500_000_000L;
                while (System.nanoTime() < end) {
                    Thread.onSpinWait();
                }
            }
        }
    }
}
