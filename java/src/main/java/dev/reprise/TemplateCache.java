package dev.reprise;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/** The templates that a model's chats use, compiled once. */
final class TemplateCache implements AutoCloseable {
    /** A server whose requests bring templates along keeps the last ones. */
    private static final int MOST = 16;

    private final Map<ChatTemplate, CompiledTemplate> compiled = new LinkedHashMap<>(MOST, 0.75f, true);
    /** No monitor, in which a virtual thread could not leave its carrier. */
    private final ReentrantLock lock = new ReentrantLock();
    private boolean closed;

    CompiledTemplate get(ChatTemplate template, Tokenizer tokenizer) {
        lock.lock();
        try {
            if (closed) {
                throw new IllegalStateException("the model is closed");
            }
            CompiledTemplate known = compiled.get(template);
            if (known != null) {
                return known;
            }
            CompiledTemplate made = Carrier.isTaken()
                    ? Carrier.leave(() -> new CompiledTemplate(template, tokenizer))
                    : new CompiledTemplate(template, tokenizer);
            compiled.put(template, made);
            if (compiled.size() > MOST) {
                // Whoever still renders it keeps it open: it is closed when nobody can reach it any more.
                compiled.remove(compiled.keySet().iterator().next());
            }
            return made;
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            compiled.values().forEach(CompiledTemplate::close);
            compiled.clear();
        } finally {
            lock.unlock();
        }
    }
}
