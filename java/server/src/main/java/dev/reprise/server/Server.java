package dev.reprise.server;

import dev.reprise.json.Json;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;

/**
 * Serves models over HTTP with the protocols of OpenAI and Anthropic. A request is answered in a session of its own; a
 * client that goes away ends what is done for it; no request ends the process.
 *
 * <pre>{@code
 * ServerOptions options = ServerOptions.builder().model("stories", () -> Model.load(path)).build();
 * try (Server server = Server.start(options)) {
 *     System.out.println(server.url());
 *     ...
 * }
 * }</pre>
 */
public final class Server implements AutoCloseable {
    private static final int EVENT_LOOPS = 2;

    private final ServerOptions options;
    private final Metrics metrics = new Metrics();
    private final Models models;
    private final Access access;
    private final Api api;
    private final EventLoopGroup loops;
    private final ChannelGroup connections = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE, true);
    private final Channel listener;
    private volatile boolean stopping;
    private boolean closed;

    private Server(ServerOptions options) {
        this.options = options;
        models = new Models(options.models, options.maxLoaded);
        access = new Access(options.apiKeys, options.origins);
        loops = new MultiThreadIoEventLoopGroup(
                EVENT_LOOPS, new DefaultThreadFactory("reprise-http", true), NioIoHandler.newFactory());
        api = new Api(options, models, metrics, loops);
        metrics.gauge("reprise_connections", connections::size);
        boolean started = false;
        try {
            listener = listen();
            started = true;
        } finally {
            if (!started) {
                loops.shutdownGracefully(0, 0, TimeUnit.SECONDS);
            }
        }
    }

    /**
     * Starts to listen.
     *
     * @throws UncheckedIOException if the address cannot be listened on
     */
    public static Server start(ServerOptions options) {
        return new Server(options);
    }

    private Channel listen() {
        Limits limits = new Limits(
                options.maxBodyBytes, options.maxConnections, options.readTime, options.idleTime, options.readTime);
        Host host = new Host();
        HttpDecoderConfig config = new HttpDecoderConfig()
                .setMaxInitialLineLength(Limits.REQUEST_LINE)
                .setMaxHeaderSize(Limits.HEADERS);
        ServerBootstrap bootstrap = new ServerBootstrap()
                .group(loops)
                .channel(NioServerSocketChannel.class)
                .option(ChannelOption.SO_BACKLOG, 1024)
                .option(ChannelOption.SO_REUSEADDR, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childHandler(new ChannelInitializer<SocketChannel>() {
                    @Override
                    protected void initChannel(SocketChannel channel) {
                        if (stopping || connections.size() >= limits.connections()) {
                            channel.close();
                            return;
                        }
                        connections.add(channel);
                        // The handler has a limit of its own, which it answers.
                        channel.pipeline().addLast(
                                new HttpServerCodec(config, Integer.MAX_VALUE), new ConnectionHandler(host, limits));
                    }
                });
        var bound = bootstrap.bind(new InetSocketAddress(options.host, options.port)).awaitUninterruptibly();
        if (!bound.isSuccess()) {
            String reason = bound.cause().getMessage();
            throw new UncheckedIOException("cannot listen on " + options.host + ":" + options.port + ": " + reason,
                    bound.cause() instanceof BindException e ? e : new BindException(reason));
        }
        return bound.channel();
    }

    /** Answers what the connections bring. */
    private final class Host implements ConnectionHandler.Host {
        @Override
        public ApiException refusal(HttpRequest head) {
            String uri = head.uri();
            int query = uri.indexOf('?');
            String path = query < 0 ? uri : uri.substring(0, query);
            String method = head.method().name();
            if (method.equals("OPTIONS") && access.allowsAny()) {
                return null;  // it asks whether it may ask
            }
            try {
                Routes.Route route = api.routes().find(method.equals("HEAD") ? "GET" : method, path);
                return access.refusal(head, route.open());
            } catch (ApiException e) {
                return e;
            }
        }

        @Override
        public void serve(Exchange exchange) {
            Server.this.serve(exchange);
        }

        @Override
        public byte[] errorBody(ApiException error, String path) {
            return Json.write(Failures.document(error, path)).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public boolean isStopping() {
            return stopping;
        }
    }

    private void serve(Exchange exchange) {
        String id = Ids.random("req_", 20);
        exchange.addHeader(Routes.isAnthropic(exchange.path()) ? "request-id" : "x-request-id", id);
        String origin = exchange.header(HttpHeaderNames.ORIGIN);
        if (origin != null && access.allows(origin)) {
            exchange.addHeader("Access-Control-Allow-Origin", origin);
            exchange.addHeader("Vary", "Origin");
        }
        if (exchange.method().equals("OPTIONS")) {
            if (origin != null && access.allows(origin)) {
                exchange.addHeader("Access-Control-Allow-Methods", "GET, POST");
                String wanted = exchange.header("Access-Control-Request-Headers");
                exchange.addHeader("Access-Control-Allow-Headers", wanted == null ? "content-type" : wanted);
                exchange.addHeader("Access-Control-Max-Age", "600");
            }
            exchange.respond(204, "", new byte[0]);
            return;
        }
        Routes.Route route = api.routes().find(exchange.method(), exchange.path());
        exchange.onEnd(() -> metrics.answered(route.path(), exchange.status(), exchange.seconds()));
        if (stopping && !route.open()) {
            Work.fail(exchange, ApiException.of(503, "server_error", "stopping", "the server is stopping"));
            return;
        }
        api.handle(exchange, route);
    }

    /**
     * Loads the model that requests get which name none and opens a session once, so that the first of them need not
     * wait, and what is wrong with either shows at once.
     */
    public void loadFirst() throws InterruptedException {
        try (Models.Lease lease = models.use(models.find(null))) {
            lease.model().newSession(options.session).close();
        } catch (ApiException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw e;
        }
    }

    /** The port that is listened on. */
    public int port() {
        return ((InetSocketAddress) listener.localAddress()).getPort();
    }

    /** Where the server is, for example {@code http://127.0.0.1:8080}. */
    public String url() {
        String host = options.host.indexOf(':') >= 0 ? "[" + options.host + "]" : options.host;
        return "http://" + host + ":" + port();
    }

    /**
     * Stops: takes no further requests, lets those that are there go on for the grace of the options, ends what is left
     * and closes the models. Closing twice has no effect.
     */
    @Override
    public void close() {
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
        }
        stopping = true;
        listener.close().awaitUninterruptibly();
        for (Channel connection : connections) {
            ConnectionHandler handler = connection.pipeline().get(ConnectionHandler.class);
            if (handler != null) {
                handler.closeIfIdle();
            }
        }
        api.stop(options.grace.toNanos());
        connections.close().awaitUninterruptibly();
        loops.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
        models.close();
    }
}
