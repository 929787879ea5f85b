package dev.reprise.server;

import dev.reprise.CancelledException;
import dev.reprise.Model;
import dev.reprise.json.Json;
import io.netty.channel.EventLoopGroup;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** Runs what takes a model: so many at once, so many waiting, for so long at most and while a client waits. */
final class Work {
    /** What is done with a model; it is interrupted where nobody waits for it any more. */
    @FunctionalInterface
    interface Task {
        void run(Model model) throws InterruptedException;
    }

    private final Models models;
    private final Metrics metrics;
    private final EventLoopGroup timers;
    private final long mostMillis;

    Work(Models models, Metrics metrics, EventLoopGroup timers, long mostMillis) {
        this.models = models;
        this.metrics = metrics;
        this.timers = timers;
        this.mostMillis = mostMillis;
    }

    /** Queues a task; the client is told if there is no place. */
    void submit(Pool pool, Exchange exchange, Models.Entry entry, Task task) {
        AtomicBoolean late = new AtomicBoolean();
        Job[] self = new Job[1];
        Job job = new Job(() -> run(exchange, entry, task, late), () -> {
            pool.withdraw(self[0]);
            if (late.get()) {
                fail(exchange, tooLate());
            }
        });
        self[0] = job;
        Future<?> timer = timers.schedule(() -> {
            late.set(true);
            job.cancel();
        }, mostMillis, TimeUnit.MILLISECONDS);
        exchange.onEnd(() -> timer.cancel(false));
        exchange.onGone(() -> {
            timer.cancel(false);
            metrics.clientGone();
            job.cancel();
        });
        if (!pool.submit(job)) {
            timer.cancel(false);
            exchange.addHeader("Retry-After", "1");
            fail(exchange, ApiException.of(429, "rate_limit_error", "queue_full",
                    "the server has as many requests as it takes: try again later"));
        }
    }

    private ApiException tooLate() {
        return ApiException.of(504, "timeout_error", "timeout",
                "the request took longer than the " + mostMillis / 1000 + " seconds that it may");
    }

    private void run(Exchange exchange, Models.Entry entry, Task task, AtomicBoolean late) {
        try (Models.Lease lease = models.use(entry)) {
            task.run(lease.model());
        } catch (CancelledException | InterruptedException e) {
            Thread.interrupted();
            fail(exchange, late.get() ? tooLate() : e);
        } catch (Throwable e) {  // whatever a request leads to, the server goes on
            Thread.interrupted();
            fail(exchange, e);
        }
    }

    /** Tells the client what went wrong, where it still listens. */
    static void fail(Exchange exchange, Throwable failure) {
        if (exchange.isGone()) {
            return;
        }
        ApiException error = Failures.of(failure);
        Object document = Failures.document(error, exchange.path());
        if (!exchange.hasBegun()) {
            if (error.status() == 503) {
                exchange.addHeader("Retry-After", "5");
            }
            exchange.respond(error.status(), "application/json",
                    Json.write(document).getBytes(StandardCharsets.UTF_8));
            return;
        }
        try {
            exchange.event(Routes.isAnthropic(exchange.path()) ? "error" : null, document);
            exchange.endEvents();
        } catch (InterruptedException | ApiException e) {
            exchange.abort();
        }
    }
}
