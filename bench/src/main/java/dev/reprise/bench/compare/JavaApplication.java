package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reprise in a JVM of its own, by way of {@link Driver}, which does the timing. */
final class JavaApplication implements Application {
    private final Process process;
    private final PrintStream requests;
    private final BufferedReader replies;
    private final Path log;
    private final double loadSeconds;

    JavaApplication(Path model, int context, int threads, Path log) throws IOException {
        this.log = log;
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        if (Runtime.version().feature() >= 22) {
            command.add("--enable-native-access=ALL-UNNAMED");
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Driver.class.getName(), model.toString(),
                Integer.toString(context), Integer.toString(threads)));
        long start = System.nanoTime();
        process = new ProcessBuilder(command).redirectError(log.toFile()).start();
        requests = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        replies = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        try {
            read();
        } catch (IOException e) {
            close();
            throw e;
        }
        loadSeconds = (System.nanoTime() - start) * 1e-9;
    }

    private String read() throws IOException {
        String line = replies.readLine();
        if (line == null) {
            throw new IOException("the Java program ended: " + Programs.tail(log));
        }
        return line;
    }

    @Override
    public String transport() {
        return "in-process";
    }

    @Override
    public double loadSeconds() {
        return loadSeconds;
    }

    @Override
    public long hostBytes() {
        return Programs.residentBytes(process.toHandle());
    }

    @Override
    public Results.Reply complete(String prompt, int maxTokens) throws IOException {
        requests.println(Http.JSON.createObjectNode().put("prompt", prompt).put("maxTokens", maxTokens));
        return Http.JSON.readValue(read(), Results.Reply.class);
    }

    @Override
    public List<Results.Reply> completeTogether(List<String> prompts, int maxTokens) throws IOException {
        ObjectNode request = Http.JSON.createObjectNode().put("maxTokens", maxTokens);
        requests.println(request.set("prompts", Http.JSON.valueToTree(prompts)));
        return List.of(Http.JSON.readValue(read(), Results.Reply[].class));
    }

    @Override
    public Double margin(String prompt, int tokens) throws IOException {
        requests.println(Http.JSON.createObjectNode().put("prompt", prompt).put("marginBehind", tokens));
        return Http.JSON.readTree(read()).get("margin").doubleValue();
    }

    @Override
    public void close() {
        requests.close();
        Programs.end(process);
    }
}
