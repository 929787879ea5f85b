package dev.reprise.server;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;

/** The page to chat with: one file, which asks for nothing elsewhere and is not allowed to. */
final class Page {
    private static final String NAME = "chat.html";
    private static final byte[] CONTENT = read();

    private Page() {}

    private static byte[] read() {
        try (InputStream in = Page.class.getResourceAsStream(NAME)) {
            if (in == null) {
                throw new IllegalStateException("the jar of the server lacks " + NAME);
            }
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static void send(Exchange exchange) {
        exchange.addHeader("Content-Security-Policy",
                "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
                        + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        exchange.addHeader("Referrer-Policy", "no-referrer");
        exchange.respond(200, "text/html; charset=utf-8", CONTENT);
    }
}
