package dev.reprise.bench.compare;

import java.io.IOException;

/**
 * An answer broke off, though its application goes on. Ollama, for one, breaks off an answer that repeats a token too
 * often, which a model with random weights may well do.
 */
final class UnfinishedAnswerException extends IOException {
    private static final long serialVersionUID = 1;

    UnfinishedAnswerException(String message) {
        super(message);
    }
}
