package dev.reprise.hub;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Hashes a file from its beginning as far as it is there, while the rest arrives, on a thread of its own. What is there
 * must not be written again.
 */
final class Hasher implements Runnable {
    private static final int SHA256_DIGITS = 64;
    private static final int BUFFER_BYTES = 1 << 20;
    private static final long POLL_MILLIS = 20;

    private final Partial partial;
    private final RemoteFile file;
    private final MessageDigest digest;
    private final CountDownLatch stopped = new CountDownLatch(1);
    private final CountDownLatch ended = new CountDownLatch(1);
    /** Written before the end. */
    private String hash;
    private Throwable failure;

    Hasher(Partial partial, RemoteFile file) {
        this.partial = partial;
        this.file = file;
        try {
            digest = MessageDigest.getInstance(algorithm(file));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-1 and SHA-256", e);
        }
    }

    static String algorithm(RemoteFile file) {
        return file.etag().length() == SHA256_DIGITS ? "SHA-256" : "SHA-1";
    }

    @Override
    public void run() {
        try {
            hash = hash();
        } catch (Throwable e) {
            failure = e;
        } finally {
            ended.countDown();
        }
    }

    /** SHA-256 of the bytes, or the name that git gives to a blob, SHA-1 of its length and bytes; null: stopped. */
    private String hash() throws IOException, InterruptedException {
        if (file.etag().length() != SHA256_DIGITS) {
            digest.update(("blob " + file.size() + "\0").getBytes(StandardCharsets.US_ASCII));
        }
        ByteBuffer buffer = ByteBuffer.allocate(BUFFER_BYTES);
        long at = 0;
        while (at < file.size()) {
            long there = partial.coverage().prefix();
            boolean nothing = at >= there;
            if (stopped.await(nothing ? POLL_MILLIS : 0, TimeUnit.MILLISECONDS)) {
                return null;
            } else if (!nothing) {
                int count = partial.channel().read(buffer.clear().limit((int) Math.min(BUFFER_BYTES, there - at)), at);
                if (count < 0) {
                    throw new IOException(partial.path() + " was cut at " + at + " bytes");
                }
                at += count;
                digest.update(buffer.flip());
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /**
     * The hash, once all is there and hashed.
     *
     * @param waiting told every now and then while that takes time
     */
    String await(long tickMillis, Runnable waiting) throws IOException, InterruptedException {
        while (!ended.await(tickMillis, TimeUnit.MILLISECONDS)) {
            waiting.run();
        }
        if (failure != null) {
            throw new IOException("cannot read " + partial.path() + ": " + failure.getMessage(), failure);
        }
        return hash;
    }

    /** Ends it early. */
    void stop() {
        stopped.countDown();
    }
}
