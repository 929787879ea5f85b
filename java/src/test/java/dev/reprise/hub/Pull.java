package dev.reprise.hub;

import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;

/** A process that fetches the model of a {@link FakeHub}: ENDPOINT CACHE. Prints its path, or what went wrong. */
final class Pull {
    private Pull() {}

    public static void main(String[] arguments) {
        Source source = new Source(FakeHub.REPOSITORY, "main", null, null, URI.create(arguments[0]), null,
                Path.of(arguments[1]), false);
        Limits limits = new Limits(4, 1 << 16, Duration.ofSeconds(30), Duration.ofSeconds(30), Duration.ofSeconds(30),
                4, Duration.ofMillis(10), Duration.ofSeconds(2));
        try {
            System.out.println(new Fetch(source, null, System.err::println, limits).run());
        } catch (RuntimeException e) {
            System.out.println(e.getMessage());
            System.exit(3);
        }
    }
}
