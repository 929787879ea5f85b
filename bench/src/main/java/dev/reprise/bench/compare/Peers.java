package dev.reprise.bench.compare;

import dev.reprise.bench.compare.Results.Peer;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The programs of the comparison, where they are and which versions. */
final class Peers {
    /** Gives an Ollama server; {@code log} gets what it prints if it has to be started. */
    interface OllamaSource {
        OllamaServer open(Path log) throws IOException;
    }

    private final PrintStream log;
    private final List<Peer> peers = new ArrayList<>();
    private Path repriseBench;
    private Path llamaBench;
    private Path llamaBatchedBench;
    private Path llamaServer;
    private OllamaSource ollama;

    private Peers(PrintStream log) {
        this.log = log;
    }

    /**
     * Looks for the peers; arguments may be null, PATH is then searched.
     *
     * @throws IllegalArgumentException if something that was named is not there
     */
    static Peers find(Path llamaBench, Path llamaBatchedBench, Path llamaServer, String ollama, PrintStream log)
            throws IOException {
        Peers peers = new Peers(log);
        String own = System.getProperty("reprise.bench.tool");
        Path tool = own == null || !Files.exists(Path.of(own)) ? null : Path.of(own);
        peers.repriseBench = peers.program("reprise-bench", tool, null);
        peers.llamaBench = peers.program("llama-bench", llamaBench, "--version");
        peers.llamaBatchedBench = peers.program("llama-batched-bench", llamaBatchedBench, "--version");
        peers.llamaServer = peers.program("llama-server", llamaServer, "--version");
        if (ollama != null && ollama.matches("https?://.*")) {
            OllamaServer server = OllamaServer.at(ollama);
            peers.found("Ollama", server.version(), "at " + ollama);
            peers.ollama = serverLog -> server;
        } else {
            Path program = peers.program("Ollama", ollama == null ? null : Path.of(ollama), "--version");
            peers.ollama = program == null ? null : serverLog -> OllamaServer.start(program, serverLog);
        }
        return peers;
    }

    /** Null if it was not named and is not on PATH. */
    private Path program(String name, Path named, String versionOption) throws IOException {
        if (named != null && !Files.isExecutable(named)) {
            throw new IllegalArgumentException(name + ": " + named + " is not a program that can be run");
        }
        Path program = named != null ? named : Programs.onPath(name.toLowerCase()).orElse(null);
        if (program == null) {
            log.println(name + ": NOT FOUND, left out");
            peers.add(new Peer(name, false, "", "not found"));
        } else {
            found(name, versionOption == null ? "" : Programs.version(program, versionOption), "at " + program);
        }
        return program;
    }

    private void found(String name, String version, String where) {
        log.println(name + ": found " + where + (version.isEmpty() ? "" : " (" + version + ")"));
        peers.add(new Peer(name, true, version, ""));
    }

    Optional<Path> repriseBench() {
        return Optional.ofNullable(repriseBench);
    }

    Optional<Path> llamaBench() {
        return Optional.ofNullable(llamaBench);
    }

    Optional<Path> llamaBatchedBench() {
        return Optional.ofNullable(llamaBatchedBench);
    }

    Optional<Path> llamaServer() {
        return Optional.ofNullable(llamaServer);
    }

    Optional<OllamaSource> ollama() {
        return Optional.ofNullable(ollama);
    }

    /** All of them, and one line for everything that failed. */
    List<Peer> described(Map<String, String> failures) {
        List<Peer> all = new ArrayList<>(peers);
        failures.forEach((name, message) -> all.add(new Peer(name, true, "", "failed: " + message)));
        return all;
    }
}
