package dev.reprise;

import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.Objects;

/**
 * What turns a conversation into the text that a model was trained on: a template in Jinja's notation, as model files
 * carry one. Immutable; {@link Model#chatTemplate()} gives a model's own.
 */
public final class ChatTemplate {
    private final String source;

    private ChatTemplate(String source) {
        this.source = Objects.requireNonNull(source, "source");
    }

    /** A template by its source. Errors in it show when it is used: {@link TemplateException}. */
    public static ChatTemplate of(String source) {
        return new ChatTemplate(source);
    }

    /** The template's text. */
    public String source() {
        return source;
    }

    /**
     * Renders the template.
     *
     * @param variables a JSON object: the variables that the template sees, for example {@code messages}, {@code tools}
     *     and {@code add_generation_prompt}
     * @return the text and nothing else
     * @throws TemplateException if the template is malformed, raises an error, or takes too much time or memory; with
     *     its own message and line
     * @throws IllegalArgumentException if the variables are no JSON object
     */
    public String render(String variables) {
        return render(variables, null);
    }

    /** As {@link #render(String)}, on another day than today. */
    public String render(String variables, LocalDate date) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> render(variables, date));
        }
        long template = Native.openTemplate(source, new String[0]);
        try {
            return Native.renderTemplate(template, variables, seconds(date)).toString();
        } finally {
            Native.closeTemplate(template);
        }
    }

    /**
     * Renders the template and turns the text into the ids that a chat with these variables evaluates: control tokens
     * of the template become those tokens, text of the variables never does.
     *
     * @param variables as for {@link #render(String)}
     * @param tokenizer of the model
     * @param date the day that templates take for today; null: today
     * @throws TemplateException as {@link #render(String)}
     * @throws IllegalArgumentException as {@link #render(String)}
     */
    public int[] encode(String variables, Tokenizer tokenizer, LocalDate date) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> encode(variables, tokenizer, date));
        }
        try (CompiledTemplate compiled = new CompiledTemplate(this, tokenizer)) {
            return compiled.prompt(variables, date).ids();
        }
    }

    /** Noon of a day, as the native library counts time; null: now. */
    static Long seconds(LocalDate date) {
        return date == null ? null : date.atTime(12, 0).toEpochSecond(ZoneOffset.UTC);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ChatTemplate that && source.equals(that.source);
    }

    @Override
    public int hashCode() {
        return source.hashCode();
    }

    @Override
    public String toString() {
        return "ChatTemplate[" + source.length() + " characters]";
    }
}
