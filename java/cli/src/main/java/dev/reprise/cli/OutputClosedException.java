package dev.reprise.cli;

/** Nobody reads the output any more: the program ends without a word. */
final class OutputClosedException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    OutputClosedException(Throwable cause) {
        super("the output is closed", cause);
    }
}
