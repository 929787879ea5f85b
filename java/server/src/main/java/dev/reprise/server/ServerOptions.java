package dev.reprise.server;

import dev.reprise.Model;
import dev.reprise.SessionOptions;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;

/** What a {@link Server} serves, where, and how much of it at once. Immutable. */
public final class ServerOptions {
    final Map<String, Callable<Model>> models;
    final String host;
    final int port;
    final int parallel;
    final int queue;
    final List<byte[]> apiKeys;
    final List<String> origins;
    final SessionOptions session;
    final int maxLoaded;
    final int maxTokens;
    final int maxBodyBytes;
    final int maxConnections;
    final Duration requestTime;
    final Duration readTime;
    final Duration idleTime;
    final Duration grace;

    private ServerOptions(Builder builder) {
        models = new LinkedHashMap<>(builder.models);
        host = builder.host;
        port = builder.port;
        parallel = builder.parallel;
        queue = builder.queue;
        apiKeys = List.copyOf(builder.apiKeys);
        origins = List.copyOf(builder.origins);
        session = builder.session;
        maxLoaded = builder.maxLoaded;
        maxTokens = builder.maxTokens;
        maxBodyBytes = builder.maxBodyBytes;
        maxConnections = builder.maxConnections;
        requestTime = builder.requestTime;
        readTime = builder.readTime;
        idleTime = builder.idleTime;
        grace = builder.grace;
    }

    /** What requests call the models by; the first is the one of requests that name none. */
    public List<String> modelNames() {
        return List.copyOf(models.keySet());
    }

    /** A builder without models. */
    public static Builder builder() {
        return new Builder();
    }

    /** Collects the settings. */
    public static final class Builder {
        private final Map<String, Callable<Model>> models = new LinkedHashMap<>();
        private final List<byte[]> apiKeys = new ArrayList<>();
        private final List<String> origins = new ArrayList<>();
        private String host = "127.0.0.1";
        private int port = 8080;
        private int parallel = 4;
        private int queue = 128;
        private SessionOptions session = SessionOptions.defaults();
        private int maxLoaded = Integer.MAX_VALUE;
        private int maxTokens = Integer.MAX_VALUE;
        private int maxBodyBytes = 16 << 20;
        private int maxConnections = 2048;
        private Duration requestTime = Duration.ofMinutes(10);
        private Duration readTime = Duration.ofSeconds(30);
        private Duration idleTime = Duration.ofSeconds(75);
        private Duration grace = Duration.ofSeconds(30);

        private Builder() {}

        /**
         * A model and the name that requests call it by. The first of the models is the one of requests that name none.
         *
         * @param loader called where the model is needed and not loaded; the server closes what it returns
         * @throws IllegalArgumentException if there is a model of this name
         */
        public Builder model(String name, Callable<Model> loader) {
            if (models.putIfAbsent(Objects.requireNonNull(name, "name"), Objects.requireNonNull(loader)) != null) {
                throw new IllegalArgumentException("two models have the name " + name);
            }
            return this;
        }

        /** The address to listen on; 127.0.0.1 unless told otherwise, which other machines cannot reach. */
        public Builder host(String host) {
            this.host = Objects.requireNonNull(host, "host");
            return this;
        }

        /** The port, 8080 unless told otherwise; 0: any that is free. */
        public Builder port(int port) {
            check(port >= 0 && port <= 0xffff, "port", port, "from 0 to 65535");
            this.port = port;
            return this;
        }

        /** How many requests generate at once, each in a session of its own; 4 unless told otherwise. */
        public Builder parallel(int parallel) {
            check(parallel >= 1 && parallel <= 4096, "parallel", parallel, "from 1 to 4096");
            this.parallel = parallel;
            return this;
        }

        /** How many requests may wait for that; 128 unless told otherwise. Further ones are answered with 429. */
        public Builder queue(int queue) {
            check(queue >= 0, "queue", queue, "0 or positive");
            this.queue = queue;
            return this;
        }

        /** A key that requests have to carry; without one anybody may ask. With several, any of them will do. */
        public Builder apiKey(String key) {
            if (key.isBlank()) {
                throw new IllegalArgumentException("an API key is empty, which everybody could guess");
            }
            apiKeys.add(key.strip().getBytes(StandardCharsets.UTF_8));
            return this;
        }

        /** A web page's origin, such as {@code https://example.org}, whose scripts may ask; {@code *}: all. */
        public Builder allowOrigin(String origin) {
            origins.add(Objects.requireNonNull(origin, "origin"));
            return this;
        }

        /** How sessions are opened: context length, KV type. */
        public Builder session(SessionOptions session) {
            this.session = Objects.requireNonNull(session, "session");
            return this;
        }

        /** How many models are loaded at once; as many as there is memory for unless told otherwise. */
        public Builder maxLoaded(int maxLoaded) {
            check(maxLoaded >= 1, "maxLoaded", maxLoaded, "positive");
            this.maxLoaded = maxLoaded;
            return this;
        }

        /** The most tokens that one answer gets, whatever a request asks for; the context unless told otherwise. */
        public Builder maxTokens(int maxTokens) {
            check(maxTokens >= 1, "maxTokens", maxTokens, "positive");
            this.maxTokens = maxTokens;
            return this;
        }

        /** The largest body of a request, in bytes; 16 MiB unless told otherwise. */
        public Builder maxBodyBytes(int maxBodyBytes) {
            check(maxBodyBytes >= 1, "maxBodyBytes", maxBodyBytes, "positive");
            this.maxBodyBytes = maxBodyBytes;
            return this;
        }

        /** How many connections are open at once; 2048 unless told otherwise. Further ones are closed. */
        public Builder maxConnections(int maxConnections) {
            check(maxConnections >= 1, "maxConnections", maxConnections, "positive");
            this.maxConnections = maxConnections;
            return this;
        }

        /** The longest that a request may wait and generate; ten minutes unless told otherwise. */
        public Builder requestTime(Duration time) {
            requestTime = positive("requestTime", time);
            return this;
        }

        /** The longest that a client may take to send a request, or to read nothing; 30 s unless told otherwise. */
        public Builder readTime(Duration time) {
            readTime = positive("readTime", time);
            return this;
        }

        /** How long a connection without a request stays; 75 s unless told otherwise. */
        public Builder idleTime(Duration time) {
            idleTime = positive("idleTime", time);
            return this;
        }

        /** How long {@link Server#close} lets requests go on; 30 s unless told otherwise. */
        public Builder grace(Duration time) {
            grace = Objects.requireNonNull(time, "time");
            return this;
        }

        private static Duration positive(String name, Duration time) {
            check(!time.isNegative() && !time.isZero(), name, time.toMillis(), "positive");
            return time;
        }

        private static void check(boolean ok, String name, long value, String range) {
            if (!ok) {
                throw new IllegalArgumentException(name + " is " + value + ", it must be " + range);
            }
        }

        /**
         * The settings so far.
         *
         * @throws IllegalArgumentException if there is no model
         */
        public ServerOptions build() {
            if (models.isEmpty()) {
                throw new IllegalArgumentException("there is no model to serve");
            }
            return new ServerOptions(this);
        }
    }
}
