package dev.reprise.cli;

import dev.reprise.CancelledException;
import dev.reprise.ContextOverflowException;
import dev.reprise.DeviceUnavailableException;
import dev.reprise.FinishReason;
import dev.reprise.LibraryUnavailableException;
import dev.reprise.ModelFormatException;
import dev.reprise.ModelNotFoundException;
import dev.reprise.NanLogitsException;
import dev.reprise.OutOfDeviceMemoryException;
import dev.reprise.OutOfHostMemoryException;
import dev.reprise.SessionFormatException;
import dev.reprise.SessionMismatchException;
import dev.reprise.TemplateException;
import dev.reprise.UnsupportedModelException;
import java.io.UncheckedIOException;

/** The program's exit codes; {@code --help} shows them, as {@link Help} words them. */
final class ExitCode {
    static final int OK = 0;
    static final int FAILED = 1;
    static final int USAGE = 2;
    static final int IO = 3;
    static final int MODEL_FORMAT = 4;
    static final int UNSUPPORTED = 5;
    static final int DEVICE_UNAVAILABLE = 6;
    static final int OUT_OF_MEMORY = 7;
    static final int CONTEXT_OVERFLOW = 8;
    static final int TEMPLATE = 9;
    static final int CUT = 10;
    /** As shells report a process that SIGINT ended. */
    static final int INTERRUPTED = 130;
    /** As shells report a process that SIGPIPE ended. */
    static final int OUTPUT_CLOSED = 141;

    /** Constant, as annotations want it. */
    static final class Help {
        static final String OK = "  0:success";
        static final String FAILED = "  1:an error that is none of these";
        static final String USAGE = "  2:wrong options or arguments, or malformed input";
        static final String IO = "  3:a file cannot be read, written or fetched";
        static final String MODEL_FORMAT =
                "  4:the model file is damaged or no GGUF file, or its logits are no numbers";
        static final String UNSUPPORTED = "  5:the model, or what is asked, needs something that is not supported";
        static final String DEVICE_UNAVAILABLE = "  6:the device, or the library for this platform, cannot be used";
        static final String OUT_OF_MEMORY = "  7:too little memory, on the machine or on the device";
        static final String CONTEXT_OVERFLOW = "  8:the prompt does not fit into the context";
        static final String TEMPLATE = "  9:a chat template is missing, malformed, or raised an error";
        static final String CUT = " 10:a constrained answer was cut, by -n or the context, before it was whole";
        static final String INTERRUPTED = "130:interrupted by Ctrl-C";
        static final String OUTPUT_CLOSED = "141:the reader of the output went away";

        private Help() {}
    }

    private ExitCode() {}

    /** Of text that was generated. */
    static int of(FinishReason reason, boolean constraintMet) {
        if (reason == FinishReason.CANCELLED) {
            return INTERRUPTED;
        }
        boolean cut = reason == FinishReason.MAX_TOKENS || reason == FinishReason.CONTEXT_FULL;
        return cut && !constraintMet ? CUT : OK;
    }

    static int of(Throwable failure) {
        if (failure instanceof OutputClosedException) {
            return OUTPUT_CLOSED;
        } else if (failure instanceof IllegalArgumentException) {
            return USAGE;
        } else if (failure instanceof UncheckedIOException || failure instanceof ModelNotFoundException) {
            return IO;
        } else if (failure instanceof ModelFormatException
                || failure instanceof NanLogitsException
                || failure instanceof SessionFormatException
                || failure instanceof SessionMismatchException) {
            return MODEL_FORMAT;
        } else if (failure instanceof UnsupportedModelException || failure instanceof UnsupportedOperationException) {
            return UNSUPPORTED;
        } else if (failure instanceof DeviceUnavailableException || failure instanceof LibraryUnavailableException) {
            return DEVICE_UNAVAILABLE;
        } else if (failure instanceof OutOfHostMemoryException
                || failure instanceof OutOfDeviceMemoryException
                || failure instanceof OutOfMemoryError) {
            return OUT_OF_MEMORY;
        } else if (failure instanceof ContextOverflowException) {
            return CONTEXT_OVERFLOW;
        } else if (failure instanceof TemplateException) {
            return TEMPLATE;
        } else if (failure instanceof CancelledException) {
            return INTERRUPTED;
        }
        return FAILED;
    }
}
