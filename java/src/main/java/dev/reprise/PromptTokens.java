package dev.reprise;

import dev.reprise.tokenizer.IntList;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A rendered conversation as tokens: control tokens of the template, and pieces of text between them. Made by {@link
 * PromptEncoder}.
 */
final class PromptTokens {
    private final Tokenizer tokenizer;
    private final String generationPrompt;
    private final IntList ids = new IntList(256);
    /** Of every piece: where its ids begin; a piece is one special token or text. */
    private final List<Integer> starts = new ArrayList<>();
    /** Of every piece: its text, or null for a control token. */
    private final List<ByteArrayOutputStream> texts = new ArrayList<>();

    PromptTokens(Tokenizer tokenizer, String generationPrompt) {
        this.tokenizer = tokenizer;
        this.generationPrompt = generationPrompt;
    }

    void addSpecial(int id) {
        starts.add(ids.size());
        texts.add(null);
        ids.add(id);
    }

    void addText(byte[] text, int from, int to, int[] textIds) {
        if (texts.isEmpty() || texts.get(texts.size() - 1) == null) {
            starts.add(ids.size());
            texts.add(new ByteArrayOutputStream(to - from));
        }
        texts.get(texts.size() - 1).write(text, from, to - from);
        for (int id : textIds) {
            ids.add(id);
        }
    }

    /** What the template puts where an answer begins. */
    String generationPrompt() {
        return generationPrompt;
    }

    int[] ids() {
        return ids.toArray();
    }

    /** How much of a history stays, and what is to be evaluated behind it. */
    record Continuation(int kept, int[] newIds) {}

    /**
     * Compares with the tokens of a history. What a model wrote need not be cut into tokens as the same text is when it
     * is read, so pieces count as equal where their texts are.
     */
    Continuation behind(int[] history) {
        int[] all = ids();
        int at = 0;
        for (int piece = 0; piece < texts.size(); piece++) {
            int start = starts.get(piece);
            int end = piece + 1 < texts.size() ? starts.get(piece + 1) : all.length;
            if (texts.get(piece) == null) {
                if (at == history.length || history[at] != all[start]) {
                    return new Continuation(at, Arrays.copyOfRange(all, start, all.length));
                }
                at++;
                continue;
            }
            int run = at;
            while (run < history.length && !tokenizer.isControl(history[run])) {
                run++;
            }
            int[] held = Arrays.copyOfRange(history, at, run);
            int[] read = Arrays.copyOfRange(all, start, end);
            byte[] text = texts.get(piece).toByteArray();
            if (Arrays.equals(held, read) || Arrays.equals(tokenizer.textOf(held), text)) {
                at = run;
                continue;
            }
            int place = run == history.length ? boundaryBehind(tokenizer.textOf(held), text, read) : -1;
            if (place >= 0) {
                return new Continuation(run, Arrays.copyOfRange(all, start + place, all.length));
            }
            int equal = Arrays.mismatch(held, read);
            return new Continuation(at + equal, Arrays.copyOfRange(all, start + equal, all.length));
        }
        return new Continuation(at, new int[0]);
    }

    /** Which of the ids of a text begins where a prefix of it ends; -1 if none does, or it is no prefix. */
    private int boundaryBehind(byte[] prefix, byte[] text, int[] textIds) {
        if (prefix.length == 0 || prefix.length > text.length
                || !Arrays.equals(prefix, 0, prefix.length, text, 0, prefix.length)) {
            return -1;
        }
        int length = 0;
        for (int i = 0; i < textIds.length && length <= prefix.length; i++) {
            if (length == prefix.length) {
                return i;
            }
            length += tokenizer.textOf(new int[] {textIds[i]}).length;
        }
        return -1;
    }
}
