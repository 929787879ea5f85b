package dev.reprise;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * What a generation continues: text, token ids, two texts with a gap between them, or a conversation. Immutable.
 *
 * <p>Text and ids are appended to a session's history. A conversation is the whole of it: where the session's history
 * begins as the conversation does, that part is kept and not evaluated again, and the rest of the history is forgotten.
 */
public final class Prompt {
    private final String text;
    private final String suffix;
    private final boolean parseSpecialTokens;
    private final int[] ids;
    private final List<Message> messages;
    private final ChatOptions options;

    private Prompt(String text, String suffix, boolean parseSpecialTokens, int[] ids, List<Message> messages,
            ChatOptions options) {
        this.text = text;
        this.suffix = suffix;
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
        return new Prompt(Objects.requireNonNull(text, "text"), null, false, null, null, null);
    }

    /** Token ids, to which nothing is added. */
    public static Prompt ids(int... ids) {
        return new Prompt(null, null, false, ids.clone(), null, null);
    }

    /**
     * Two plain texts, of which the model writes what stands between them. The generation ends at the model's end
     * tokens and at those that its file names for padding and further files.
     *
     * <p>A generation throws {@link UnsupportedOperationException} where the model's file names no tokens for this:
     * {@link Tokenizer#supportsFillInTheMiddle}.
     */
    public static Prompt fillInTheMiddle(String prefix, String suffix) {
        Objects.requireNonNull(prefix, "prefix");
        return new Prompt(prefix, Objects.requireNonNull(suffix, "suffix"), false, null, null, null);
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
        return new Prompt(null, null, false, null, List.copyOf(messages), Objects.requireNonNull(options, "options"));
    }

    /**
     * The same text, in which the text of a control token, such as {@code <|im_start|>}, becomes that token. Not for
     * text that users write.
     *
     * @throws IllegalStateException if this is no text
     */
    public Prompt parseSpecialTokens() {
        if (text == null || suffix != null) {
            throw new IllegalStateException("only a prompt of text can have its special tokens parsed");
        }
        return new Prompt(text, null, true, null, null, null);
    }

    /** Null but for text; the prefix if there is a suffix. */
    String text() {
        return text;
    }

    /** Null but where a middle is to be filled in. */
    String suffix() {
        return suffix;
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
                && Objects.equals(suffix, that.suffix)
                && parseSpecialTokens == that.parseSpecialTokens
                && Arrays.equals(ids, that.ids)
                && Objects.equals(messages, that.messages)
                && Objects.equals(options, that.options);
    }

    @Override
    public int hashCode() {
        return Objects.hash(text, suffix, parseSpecialTokens, Arrays.hashCode(ids), messages, options);
    }

    @Override
    public String toString() {
        if (text != null) {
            return "Prompt[" + text + (suffix == null ? "" : "[...]" + suffix) + "]";
        }
        return "Prompt[" + (ids != null ? ids.length + " ids" : messages.toString()) + "]";
    }
}
