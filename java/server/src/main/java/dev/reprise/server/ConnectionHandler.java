package dev.reprise.server;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.SocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.util.ReferenceCountUtil;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * A connection: collects requests, answers one after the other, and notices at once where the client goes away, since
 * it reads on while a request is being answered. Runs in the connection's event loop, but for {@link #answered}.
 */
final class ConnectionHandler extends ChannelInboundHandlerAdapter {
    /** What a connection tells the server. */
    interface Host {
        /** What of a request's head is wrong; null: nothing, and its body is to be read. */
        ApiException refusal(HttpRequest head);

        void serve(Exchange exchange);

        byte[] errorBody(ApiException error, String path);

        boolean isStopping();
    }

    /** Throws away what comes, before anybody makes something of it. */
    private static final class Discard extends ChannelInboundHandlerAdapter {
        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            ReferenceCountUtil.release(message);
        }
    }

    private static final Logger LOG = Logger.getLogger("dev.reprise.server");

    private final Host host;
    private final Limits limits;
    private final Queue<Exchange> waiting = new ArrayDeque<>();

    private Channel channel;
    private Future<?> timer;
    private HttpRequest head;
    private ByteArrayOutputStream body;
    private Exchange current;
    /** Whether what comes is thrown away, since the connection ends. */
    private boolean closing;
    /** What it ends with, and why. */
    private Exchange refused;
    private ApiException refusal;
    private String refusedPath;

    ConnectionHandler(Host host, Limits limits) {
        this.host = host;
        this.limits = limits;
    }

    boolean isStopping() {
        return host.isStopping();
    }

    // ---- time ------------------------------------------------------------------------------------------------------

    /** Closes the connection unless something happens in time. */
    private void expect(Duration time) {
        stopTimer();
        Channel it = channel;
        timer = it.eventLoop().schedule(() -> it.close(), time.toMillis(), TimeUnit.MILLISECONDS);
    }

    private void stopTimer() {
        if (timer != null) {
            timer.cancel(false);
            timer = null;
        }
    }

    // ---- reading ---------------------------------------------------------------------------------------------------

    @Override
    public void channelActive(ChannelHandlerContext context) {
        channel = context.channel();
        expect(limits.read());
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        try {
            if (!closing) {
                read((HttpMessage) (message instanceof HttpMessage ? message : null), message);
            }
        } finally {
            ReferenceCountUtil.release(message);
        }
    }

    private void read(HttpMessage begins, Object message) {
        if (begins instanceof HttpRequest request) {
            begin(request);
        }
        if (!closing && head != null && message instanceof HttpContent content) {
            if (content.decoderResult().isFailure()) {
                refuse(malformed(content.decoderResult().cause()));
                return;
            }
            append(content.content());
            if (!closing && content instanceof LastHttpContent) {
                end();
            }
        }
    }

    private void begin(HttpRequest request) {
        head = request;
        body = new ByteArrayOutputStream();
        if (current == null) {
            expect(limits.read());
        }
        if (request.decoderResult().isFailure()) {
            refuse(malformed(request.decoderResult().cause()));
            return;
        }
        ApiException refusal = host.refusal(request);
        if (refusal == null && HttpUtil.getContentLength(request, 0L) > limits.bodyBytes()) {
            refusal = tooLarge();
        }
        if (refusal != null) {
            refuse(refusal);
        } else if (HttpUtil.is100ContinueExpected(request)) {
            channel.writeAndFlush(new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.CONTINUE));
        }
    }

    private static ApiException malformed(Throwable cause) {
        if (cause instanceof TooLongHttpLineException) {
            return ApiException.of(414, "invalid_request_error", null,
                    "the request line is longer than " + Limits.REQUEST_LINE + " bytes");
        } else if (cause instanceof TooLongHttpHeaderException) {
            return ApiException.of(431, "invalid_request_error", null,
                    "the header is larger than " + Limits.HEADERS + " bytes");
        }
        return ApiException.badRequest(null, "the request is no valid HTTP");
    }

    private ApiException tooLarge() {
        return ApiException.of(413, "invalid_request_error", "body_too_large",
                "the body is larger than " + limits.bodyBytes() + " bytes");
    }

    private void append(ByteBuf content) {
        if (body.size() + content.readableBytes() > limits.bodyBytes()) {
            refuse(tooLarge());
            return;
        }
        try {
            content.readBytes(body, content.readableBytes());
        } catch (IOException e) {
            throw new AssertionError("memory cannot fail", e);
        }
    }

    private void end() {
        stopTimer();
        Exchange exchange = new Exchange(this, channel, limits, head, body.toByteArray());
        if (current == null) {
            head = null;
            body = null;
            serve(exchange);
        } else if (waiting.size() < Limits.PIPELINED && waitingBytes() + exchange.bodyBytes() <= limits.bodyBytes()) {
            head = null;
            body = null;
            waiting.add(exchange);
        } else {
            refuse(ApiException.of(429, "rate_limit_error", "too_many_in_a_row",
                    "too many requests were sent before the first of them was answered"));
        }
    }

    private long waitingBytes() {
        return waiting.stream().mapToLong(Exchange::bodyBytes).sum();
    }

    private void serve(Exchange exchange) {
        current = exchange;
        if (exchange == refused) {
            refused = null;
            exchange.respond(refusal.status(), "application/json", host.errorBody(refusal, refusedPath));
        } else {
            host.serve(exchange);
        }
    }

    // ---- answers ---------------------------------------------------------------------------------------------------

    /** Called where all of an answer is written, or cannot be. */
    void answered(Exchange exchange, boolean keepAlive) {
        if (!channel.eventLoop().inEventLoop()) {
            channel.eventLoop().execute(() -> answered(exchange, keepAlive));
            return;
        }
        if (current != exchange) {
            return;
        }
        current = null;
        if (!keepAlive) {
            linger();
        } else if (!waiting.isEmpty()) {
            serve(waiting.remove());
        } else if (head != null) {
            expect(limits.read());
        } else {
            expect(limits.idle());
        }
    }

    /** Answers a request whose body is not read, after those before it, and ends the connection. */
    private void refuse(ApiException error) {
        closing = true;
        channel.pipeline().addFirst(new Discard());
        refusal = error;
        refusedPath = head.decoderResult().isFailure() ? "" : head.uri();
        refused = new Exchange(this, channel, limits, head, new byte[0]);
        refused.addHeader(HttpHeaderNames.CONNECTION.toString(), "close");
        if (error.status() == 401) {
            refused.addHeader(HttpHeaderNames.WWW_AUTHENTICATE.toString(), "Bearer");
        }
        head = null;
        body = null;
        stopTimer();
        if (current == null) {
            serve(refused);
        } else {
            waiting.add(refused);
        }
    }

    /** Closes once the client had time to read: closing while it sends would take the answer from it. */
    private void linger() {
        closing = true;
        for (Exchange exchange : waiting) {
            exchange.clientGone();
        }
        waiting.clear();
        if (channel instanceof SocketChannel socket && socket.isActive()) {
            socket.shutdownOutput();
            expect(Limits.LINGER);
        } else {
            channel.close();
        }
    }

    // ---- what happens to the connection ----------------------------------------------------------------------------

    /** Ends a connection that waits for a request. */
    void closeIfIdle() {
        channel.eventLoop().execute(() -> {
            if (current == null && head == null) {
                channel.close();
            }
        });
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        if (current != null) {
            current.writable();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        stopTimer();
        closing = true;
        if (current != null) {
            current.clientGone();
        }
        for (Exchange exchange : waiting) {
            exchange.clientGone();
        }
        waiting.clear();
        body = null;
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (!(cause instanceof IOException)) {
            LOG.log(Level.WARNING, "a connection failed", cause);
        }
        context.close();
    }
}
