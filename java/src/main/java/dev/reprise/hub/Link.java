package dev.reprise.hub;

import java.io.IOException;
import java.net.URI;
import java.util.concurrent.Future;
import java.util.function.Consumer;

/** Where the bytes of a file are, asked again when what was signed has expired. Safe for use by many threads. */
final class Link {
    private final HubClient client;
    private final RemoteFile file;
    /** Null where it has to be asked for. */
    private URI known;

    Link(HubClient client, RemoteFile file) {
        this.client = client;
        this.file = file;
    }

    /** The last argument is told what can be cancelled while it is asked for. */
    synchronized URI get(Consumer<Future<?>> running) throws IOException, InterruptedException {
        if (known == null) {
            known = client.locate(file, running);
        }
        return known;
    }

    /** It did not work, or does no more. */
    synchronized void expired(URI link) {
        if (link.equals(known)) {
            known = null;
        }
    }
}
