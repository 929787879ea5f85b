package dev.reprise.server;

import dev.reprise.json.Json;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A request and its answer. The answer is written by one thread, any one: as a whole, or as a stream of events, whose
 * writer waits where the client does not read.
 */
final class Exchange {
    private final ConnectionHandler connection;
    private final Channel channel;
    private final Limits limits;
    private final HttpRequest head;
    private final byte[] body;
    private final Map<String, String> extraHeaders = new LinkedHashMap<>();
    private final long startNanos = System.nanoTime();

    private final List<Runnable> onEnd = new ArrayList<>();
    private Runnable onGone;
    private boolean gone;
    private boolean begun;
    private boolean complete;
    private int status;

    Exchange(ConnectionHandler connection, Channel channel, Limits limits, HttpRequest head, byte[] body) {
        this.connection = connection;
        this.channel = channel;
        this.limits = limits;
        this.head = head;
        this.body = body;
    }

    // ---- the request -----------------------------------------------------------------------------------------------

    /** The method; HEAD counts as GET. */
    String method() {
        return isHead() ? "GET" : head.method().name();
    }

    private boolean isHead() {
        return head.method().equals(HttpMethod.HEAD);
    }

    /** The path, without what follows a question mark. */
    String path() {
        String uri = head.uri();
        int end = uri.indexOf('?');
        return end < 0 ? uri : uri.substring(0, end);
    }

    /** A header; null if it is not there. */
    String header(CharSequence name) {
        return head.headers().get(name);
    }

    int bodyBytes() {
        return body.length;
    }

    /** The body as text. */
    String text() {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(body)).toString();
        } catch (CharacterCodingException e) {
            throw ApiException.badRequest("invalid_utf8", null, "the body is no valid UTF-8", e);
        }
    }

    /** Seconds since the request was complete. */
    double seconds() {
        return (System.nanoTime() - startNanos) / 1e9;
    }

    // ---- a client that goes away -----------------------------------------------------------------------------------

    /** What is to be done where the client goes away before the answer is complete; at once if it has. */
    void onGone(Runnable action) {
        synchronized (this) {
            if (!gone) {
                onGone = action;
                return;
            }
        }
        action.run();
    }

    /** What is to be done once the answer is complete. */
    synchronized void onEnd(Runnable action) {
        onEnd.add(action);
    }

    /** Called by the connection where it ends. */
    void clientGone() {
        Runnable action;
        synchronized (this) {
            gone = true;
            action = complete ? null : onGone;
            notifyAll();
        }
        if (action != null) {
            action.run();
        }
    }

    /** Called by the connection where there is room for more. */
    synchronized void writable() {
        notifyAll();
    }

    synchronized boolean isGone() {
        return gone;
    }

    /** Whether a status was sent. */
    synchronized boolean hasBegun() {
        return begun;
    }

    /** The status that was sent; 0: none yet. */
    synchronized int status() {
        return status;
    }

    // ---- the answer ------------------------------------------------------------------------------------------------

    /** A header that every answer to this request carries. */
    void addHeader(String name, String value) {
        extraHeaders.put(name, value);
    }

    void json(int status, Object value) {
        respond(status, "application/json", Json.write(value).getBytes(StandardCharsets.UTF_8));
    }

    /** Answers as a whole. Without effect if an answer has begun. */
    void respond(int status, String contentType, byte[] content) {
        if (!begin(status, true)) {
            return;
        }
        ByteBuf bytes = isHead() ? Unpooled.EMPTY_BUFFER : Unpooled.wrappedBuffer(content);
        DefaultFullHttpResponse response =
                new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(status), bytes);
        response.headers().set(HttpHeaderNames.CONTENT_LENGTH, content.length);
        if (!contentType.isEmpty()) {
            response.headers().set(HttpHeaderNames.CONTENT_TYPE, contentType);
        }
        boolean keepAlive = prepare(response);
        channel.writeAndFlush(response).addListener(future -> connection.answered(this, keepAlive));
        ended();
    }

    private void ended() {
        List<Runnable> actions;
        synchronized (this) {
            actions = List.copyOf(onEnd);
        }
        actions.forEach(Runnable::run);
    }

    /** Cuts the connection: an answer that has begun cannot be ended as it should be. */
    void abort() {
        channel.close();
    }

    /** Begins a stream of events; false if an answer has begun. */
    boolean beginEvents() {
        if (!begin(200, false)) {
            return false;
        }
        HttpResponse response = new DefaultHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.OK);
        response.headers().set(HttpHeaderNames.CONTENT_TYPE, "text/event-stream; charset=utf-8");
        response.headers().set("X-Accel-Buffering", "no");  // a proxy is to pass events on at once
        if (isOld()) {
            response.headers().set(HttpHeaderNames.CONNECTION, "close");  // which ends the stream
        } else {
            HttpUtil.setTransferEncodingChunked(response, true);
        }
        prepare(response);
        channel.writeAndFlush(response);
        return true;
    }

    /**
     * Sends an event, and waits where the client does not read what it has got.
     *
     * @param name of the event; null: none
     * @throws InterruptedException if the thread is interrupted while it waits
     * @throws ApiException if the client reads nothing for too long; it is then cut off
     */
    void event(String name, Object data) throws InterruptedException {
        eventText(name, data instanceof String text ? text : Json.write(data));
    }

    private void eventText(String name, String data) throws InterruptedException {
        awaitRoom();
        String event = (name == null ? "" : "event: " + name + "\n") + "data: " + data + "\n\n";
        channel.writeAndFlush(new DefaultHttpContent(Unpooled.copiedBuffer(event, StandardCharsets.UTF_8)));
    }

    private synchronized void awaitRoom() throws InterruptedException {
        long deadline = System.nanoTime() + limits.stall().toNanos();
        while (!channel.isWritable() && !gone) {
            long left = deadline - System.nanoTime();
            if (left <= 0) {
                channel.close();
                throw ApiException.of(408, "timeout_error", "stalled", "the client did not read its answer");
            }
            TimeUnit.NANOSECONDS.timedWait(this, left);
        }
    }

    /** Ends a stream of events. */
    void endEvents() {
        synchronized (this) {
            complete = true;
        }
        boolean keepAlive = HttpUtil.isKeepAlive(head) && !isOld() && !connection.isStopping();
        ChannelFuture written = channel.writeAndFlush(LastHttpContent.EMPTY_LAST_CONTENT);
        written.addListener(future -> connection.answered(this, keepAlive));
        ended();
    }

    private boolean isOld() {
        return head.protocolVersion().compareTo(HttpVersion.HTTP_1_1) < 0;
    }

    private synchronized boolean begin(int newStatus, boolean whole) {
        if (begun) {
            return false;
        }
        begun = true;
        status = newStatus;
        complete |= whole;
        return true;
    }

    /** Sets what all answers have in common; whether the connection stays. */
    private boolean prepare(HttpResponse response) {
        HttpHeaders headers = response.headers();
        extraHeaders.forEach(headers::set);
        headers.set(HttpHeaderNames.SERVER, "reprise");
        headers.set("X-Content-Type-Options", "nosniff");
        headers.set(HttpHeaderNames.CACHE_CONTROL, "no-store");
        boolean keepAlive = HttpUtil.isKeepAlive(head) && !connection.isStopping()
                && !headers.contains(HttpHeaderNames.CONNECTION, "close", true);
        if (!keepAlive) {
            headers.set(HttpHeaderNames.CONNECTION, "close");
        } else if (isOld()) {
            headers.set(HttpHeaderNames.CONNECTION, "keep-alive");
        }
        return keepAlive;
    }
}
