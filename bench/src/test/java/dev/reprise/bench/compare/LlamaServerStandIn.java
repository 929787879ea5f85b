package dev.reprise.bench.compare;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A program that answers as llama.cpp's server does: three pieces of text and its timings, whatever it is asked. */
final class LlamaServerStandIn {
    private LlamaServerStandIn() {}

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(args[Arrays.asList(args).indexOf("--port") + 1]);
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/health", exchange -> send(exchange, "{\"status\":\"ok\"}"));
        server.createContext("/completion", exchange -> send(exchange, """
                data: {"content":" one","tokens":[1],"stop":false}

                data: {"content":" two","tokens":[2],"stop":false}

                data: {"content":" three","tokens":[3],"stop":false}

                data: {"content":"","stop":true,"timings":{"prompt_n":20,"prompt_per_second":2000.0,\
                "predicted_n":3,"predicted_per_second":300.0}}

                """));
        server.start();
    }

    private static void send(HttpExchange exchange, String body) throws IOException {
        exchange.getRequestBody().readAllBytes();
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, bytes.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(bytes);
        }
    }
}
