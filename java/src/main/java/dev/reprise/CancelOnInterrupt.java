package dev.reprise;

import java.io.IOException;
import java.nio.channels.spi.AbstractInterruptibleChannel;

/**
 * Cancels a session when its thread is interrupted inside a native call. The JDK tells an interruptible channel about
 * an interrupt at once, on the interrupting thread; this is a channel in that respect alone. The interrupt status stays
 * set.
 */
final class CancelOnInterrupt extends AbstractInterruptibleChannel {
    private final Session session;

    CancelOnInterrupt(Session session) {
        this.session = session;
    }

    void enter() {
        begin();
    }

    void leave() {
        try {
            end(true);
        } catch (IOException e) {
            // Says that the thread was interrupted, which whoever asks the session for tokens sees from its status.
        }
    }

    @Override
    protected void implCloseChannel() {
        session.cancel();
    }
}
