package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Models by name on the command line, from a hub on this machine that has the story model. */
@Timeout(120)
class PullCommandTest {
    private static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
    private static final String FILE = "stories-Q4_K_M.gguf";

    @TempDir
    Path directory;

    private byte[] model;
    private HttpServer server;

    /** A run of the program in a process of its own, since it looks at the environment. */
    private record Run(int exitCode, String out, String err) {}

    @BeforeEach
    void start() throws Exception {
        model = Files.readAllBytes(Path.of(Program.STORIES));
        String hash = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(model));
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> answer(exchange, 404, new byte[0]));
        server.createContext("/api/models/owner/stories-GGUF/revision/main", exchange -> answer(exchange, 200,
                ("{\"sha\":\"" + COMMIT + "\",\"siblings\":[{\"rfilename\":\"README.md\"},{\"rfilename\":\"" + FILE
                        + "\"},{\"rfilename\":\"mmproj-F16.gguf\"}]}").getBytes(StandardCharsets.UTF_8)));
        server.createContext("/owner/stories-GGUF/resolve/", exchange -> {
            Headers headers = exchange.getResponseHeaders();
            headers.set("X-Repo-Commit", COMMIT);
            headers.set("X-Linked-ETag", '"' + hash + '"');
            headers.set("X-Linked-Size", Integer.toString(model.length));
            String range = exchange.getRequestHeaders().getFirst("Range");
            if (range == null) {
                answer(exchange, 200, model);
                return;
            }
            String[] ends = range.substring("bytes=".length()).split("-");
            headers.set("Content-Range", "bytes " + ends[0] + "-" + ends[1] + "/" + model.length);
            answer(exchange, 206, Arrays.copyOfRange(model, Integer.parseInt(ends[0]), Integer.parseInt(ends[1]) + 1));
        });
        server.start();
    }

    private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        try (exchange) {
            boolean head = exchange.getRequestMethod().equals("HEAD");
            exchange.sendResponseHeaders(status, head || body.length == 0 ? -1 : body.length);
            if (!head) {
                exchange.getResponseBody().write(body);
            }
        }
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    private Run run(Map<String, String> environment, String... arguments) throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        for (String flag : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            if (flag.startsWith("--enable-native-access") || flag.startsWith("-Ddev.reprise")) {
                command.add(flag);
            }
        }
        command.addAll(List.of("-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"),
                "dev.reprise.cli.Main"));
        command.addAll(List.of(arguments));
        Path errors = directory.resolve("errors");
        ProcessBuilder builder = new ProcessBuilder(command).directory(directory.toFile())
                .redirectError(errors.toFile());
        builder.environment().keySet().removeIf(name -> name.startsWith("HF_"));
        builder.environment().put("HF_HOME", directory.resolve("hf").toString());
        builder.environment().put("HF_ENDPOINT", "http://localhost:" + server.getAddress().getPort());
        builder.environment().putAll(environment);
        Process process = builder.start();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Run(process.waitFor(), out, Files.readString(errors));
    }

    @Test
    void pullPrintsThePathAndRunTakesTheName() throws Exception {
        Run pull = run(Map.of(), "pull", "owner/stories-GGUF:Q4_K_M");
        assertEquals(ExitCode.OK, pull.exitCode(), pull.err());
        Path file = directory.resolve("hf/hub/models--owner--stories-GGUF/snapshots/" + COMMIT + "/" + FILE);
        assertEquals(file + "\n", pull.out());
        assertArrayEquals(model, Files.readAllBytes(file));
        assertTrue(pull.err().startsWith("fetching " + FILE + ": 0 % of 4.8 MB\n"), pull.err());
        assertTrue(pull.err().endsWith("100 % of 4.8 MB\n") && !pull.err().contains("\r"), pull.err());

        Run run = run(Map.of(), "run", "owner/stories-GGUF", "-p", "Once", "-n", "5");
        assertEquals(ExitCode.OK, run.exitCode(), run.err());
        assertFalse(run.out().isBlank());
        server.stop(0);
        Run offline = run(Map.of("HF_HUB_OFFLINE", "1"), "tokenize", "owner/stories-GGUF", "-p", "Once", "--ids");
        assertEquals("842\n", offline.out(), offline.err());
        assertEquals(file + "\n", run(Map.of(), "pull", "--offline", "owner/stories-GGUF").out());
    }

    @Test
    void whatIsNotThereIsToldWithWhatIs() throws Exception {
        Run quant = run(Map.of(), "pull", "owner/stories-GGUF:Q8_0");
        assertEquals(ExitCode.IO, quant.exitCode());
        assertEquals("", quant.out());
        assertTrue(quant.err().contains("no Q8_0") && quant.err().contains(FILE), quant.err());
        assertFalse(quant.err().contains("mmproj") || quant.err().contains("\tat "), quant.err());

        Run missing = run(Map.of(), "info", "models/mistyped");
        assertEquals(ExitCode.IO, missing.exitCode());
        assertTrue(missing.err().contains("there is no file models/mistyped here")
                && missing.err().contains("/models/mistyped does not exist"), missing.err());
    }

    @Test
    void aPathThatExistsIsAFile() throws Exception {
        Path file = Files.createDirectory(directory.resolve("owner")).resolve("stories-GGUF");
        Files.write(file, model);
        Run tokenize = run(Map.of("HF_ENDPOINT", "http://localhost:1"), "tokenize", "owner/stories-GGUF", "-p", "Once",
                "--ids");
        assertEquals("842\n", tokenize.out(), tokenize.err());
    }

    @Test
    void whatHasNoNamesFormIsAFileThatIsMissing() {
        String message = Program.run("run", "llama").fails(ExitCode.IO).err();
        assertTrue(message.contains("llama") && message.contains("OWNER/REPO"), message);
        for (String path : new String[] {"./owner/repo", "models/none.gguf", "a/b/c", "/none/here"}) {
            assertTrue(Program.run("info", path).fails(ExitCode.IO).err().contains(path));
        }
        Program.run("pull", "nothing").fails(ExitCode.USAGE);
        Program.run("pull", "a/b:Q8_0", "--file", "c.gguf").fails(ExitCode.USAGE);
        Program.run("pull", "a/b", "--file", "../c.gguf").fails(ExitCode.USAGE);
        Program.run("pull").fails(ExitCode.USAGE);
    }

    @Test
    void aTerminalGetsABarThatIsTakenAway() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        FetchProgress progress = new FetchProgress(new PrintStream(bytes), true);
        progress.update("a/m.gguf", 0, 4_000_000_000L, 0);
        progress.update("a/m.gguf", 1_000_000_000L, 4_000_000_000L, 50_000_000);
        progress.update("a/m.gguf", 4_000_000_000L, 4_000_000_000L, 50_000_000);
        progress.clear();
        String[] shown = bytes.toString(StandardCharsets.UTF_8).split("\r\033\\[K");
        assertEquals("Fetching m.gguf [" + " ".repeat(40) + "] 0 % of 4.00 GB", shown[1]);
        assertEquals("Fetching m.gguf [" + "#".repeat(10) + " ".repeat(30) + "] 25 % of 4.00 GB, 50.0 MB/s, 1 min left",
                shown[2]);
        assertEquals("Fetching m.gguf [" + "#".repeat(40) + "] 100 % of 4.00 GB", shown[3]);
        assertTrue(bytes.toString(StandardCharsets.UTF_8).endsWith("\r\033[K"));
    }

    @Test
    void nothingIsShownOfWhatIsThere() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        FetchProgress progress = new FetchProgress(new PrintStream(bytes), false);
        progress.update("m.gguf", 5, 5, 0);
        progress.clear();
        assertEquals(0, bytes.size());
    }
}
