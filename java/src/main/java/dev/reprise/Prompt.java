package dev.reprise;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * What a generation continues: text, token ids, or a conversation. Immutable.
 *
 * <p>Text and ids are appended to a session's history. A conversation is the whole of it: where the session's history
 * begins as the conversation does, that part is kept and not evaluated again, and the rest of the history is forgotten.
 */
public final class Prompt {
    private final String text;
    private final boolean parseSpecialTokens;
    private final int[] ids;
    private final List<Message> messages;
    private final ChatOptions options;

    private Prompt(String text, boolean parseSpecialTokens, int[] ids, List<Message> messages, ChatOptions options) {
        this.text = text;
        this.parseSpecialTokens = parseSpecialTokens;
        this.ids = ids;
        this.messages = messages;
        this.options = options;
    }

    /**
     * Plain text: what looks like a control token in it stays text. The begin-of-text token is put before it if the
     * history is empty and the tokenizer adds one.
     */
    public static Prompt text(String text) {
        return new Prompt(Objects.requireNonNull(text, "text"), false, null, null, null);
    }

    /** Token ids, to which nothing is added. */
    public static Prompt ids(int... ids) {
        return new Prompt(null, false, ids.clone(), null, null);
    }

    /** A conversation as the model's own template writes it, up to where the model's answer begins. */
    public static Prompt messages(Message... messages) {
        return messages(List.of(messages));
    }

    /** A conversation as the model's own template writes it, up to where the model's answer begins. */
    public static Prompt messages(List<Message> messages) {
        return messages(messages, ChatOptions.defaults());
    }

    /** A conversation with the options' template, tools, reasoning and variables. */
    public static Prompt messages(List<Message> messages, ChatOptions options) {
        return new Prompt(null, false, null, List.copyOf(messages), Objects.requireNonNull(options, "options"));
    }

    /**
     * The same text, in which the text of a control token, such as {@code <|im_start|>}, becomes that token. Not for
     * text that users write.
     *
     * @throws IllegalStateException if this is no text
     */
    public Prompt parseSpecialTokens() {
        if (text == null) {
            throw new IllegalStateException("only a prompt of text can have its special tokens parsed");
        }
        return new Prompt(text, true, null, null, null);
    }

    /** Null but for text. */
    String text() {
        return text;
    }

    boolean parsesSpecialTokens() {
        return parseSpecialTokens;
    }

    /** Null but for ids. */
    int[] ids() {
        return ids;
    }

    /** Null but for a conversation. */
    List<Message> messages() {
        return messages;
    }

    ChatOptions options() {
        return options;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Prompt that
                && Objects.equals(text, that.text)
                && parseSpecialTokens == that.parseSpecialTokens
                && Arrays.equals(ids, that.ids)
                && Objects.equals(messages, that.messages)
                && Objects.equals(options, that.options);
    }

    @Override
    public int hashCode() {
        return Objects.hash(text, parseSpecialTokens, Arrays.hashCode(ids), messages, options);
    }

    @Override
    public String toString() {
        if (text != null) {
            return "Prompt[" + text + "]";
        }
        return "Prompt[" + (ids != null ? ids.length + " ids" : messages.toString()) + "]";
    }
}
