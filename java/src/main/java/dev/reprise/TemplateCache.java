package dev.reprise;

import java.util.LinkedHashMap;
import java.util.Map;

/** The templates that a model's chats use, compiled once. */
final class TemplateCache implements AutoCloseable {
    /** A server whose requests bring templates along keeps the last ones. */
    private static final int MOST = 16;

    private final Map<ChatTemplate, CompiledTemplate> compiled = new LinkedHashMap<>(MOST, 0.75f, true);
    private boolean closed;

    synchronized CompiledTemplate get(ChatTemplate template, Tokenizer tokenizer) {
        if (closed) {
            throw new IllegalStateException("the model is closed");
        }
        CompiledTemplate known = compiled.get(template);
        if (known != null) {
            return known;
        }
        CompiledTemplate made = new CompiledTemplate(template, tokenizer);
        compiled.put(template, made);
        if (compiled.size() > MOST) {
            // Whoever still renders it keeps it open: it is closed when nobody can reach it any more.
            compiled.remove(compiled.keySet().iterator().next());
        }
        return made;
    }

    @Override
    public synchronized void close() {
        closed = true;
        compiled.values().forEach(CompiledTemplate::close);
        compiled.clear();
    }
}
