package dev.reprise.bench.compare;

import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.Map;

/** What failed, told at once; the comparison goes on without it. */
final class Failures {
    private final PrintStream log;
    private final Map<String, String> messages = new LinkedHashMap<>();

    Failures(PrintStream log) {
        this.log = log;
    }

    void add(String what, Exception failure) {
        String message = failure.getMessage() == null ? failure.toString() : failure.getMessage();
        messages.put(what, message);
        log.println("FAILED: " + what + ": " + message + "; going on without it");
    }

    /** The message by what failed. */
    Map<String, String> messages() {
        return messages;
    }
}
