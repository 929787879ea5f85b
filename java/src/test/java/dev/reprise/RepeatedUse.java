package dev.reprise;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A program that opens a model, generates and closes everything, again and again, and prints by how many KB the
 * resident memory has grown since the first rounds. In a process of its own, with a Java heap that is in memory from
 * the start.
 */
final class RepeatedUse {
    private static final int ROUNDS = 200;
    private static final int FIRST_ROUNDS = 20;

    private RepeatedUse() {}

    public static void main(String[] arguments) throws IOException {
        GenerationOptions options = GenerationOptions.builder().maxTokens(8).build();
        long before = 0;
        for (int round = 0; round < ROUNDS; round++) {
            if (round == FIRST_ROUNDS) {
                before = residentKb();
            }
            try (Model model = Model.load(Path.of(arguments[0]));
                    Session session = model.newSession()) {
                session.generate("Once upon a time", options).forEach(token -> {});
            }
        }
        System.out.println(residentKb() - before);
    }

    static long residentKb() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        throw new IllegalStateException("no VmRSS in /proc/self/status");
    }
}
