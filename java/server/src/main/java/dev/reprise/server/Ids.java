package dev.reprise.server;

import java.security.SecureRandom;

/** Names for what is answered. */
final class Ids {
    private static final String LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    private static final SecureRandom RANDOM = new SecureRandom();

    private Ids() {}

    static String random(String prefix, int letters) {
        StringBuilder id = new StringBuilder(prefix);
        for (int i = 0; i < letters; i++) {
            id.append(LETTERS.charAt(RANDOM.nextInt(LETTERS.length())));
        }
        return id.toString();
    }

    /**
     * Of a tool call: nine letters and digits, which is the form that some models' templates insist on.
     */
    static String call() {
        return random("c", 8);
    }
}
