package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code reprise serve}: as a process, since it ends with one. */
@Timeout(120)
class ServeCommandTest {
    /** As the JVM reports SIGTERM. */
    private static final int TERMINATED = 143;

    @TempDir
    Path directory;

    private static Process start(String... arguments) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        for (String flag : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            if (flag.startsWith("--enable-native-access") || flag.startsWith("-Ddev.reprise")) {
                command.add(flag);
            }
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "dev.reprise.cli.Main", "serve"));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
    }

    private static String url(BufferedReader errors) throws IOException {
        String begin = "listening on ";
        StringBuilder seen = new StringBuilder();
        for (String line = errors.readLine(); line != null; line = errors.readLine()) {
            if (line.startsWith(begin)) {
                return line.substring(begin.length());
            }
            seen.append(line).append('\n');
        }
        throw new AssertionError("it does not listen: " + seen);
    }

    private static HttpResponse<String> ask(String url, String key, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).header("authorization", "Bearer " + key)
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        return HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()
                .send(request, HttpResponse.BodyHandlers.ofString());
    }

    @Test
    void modelsAreServedByTheNamesOfTheirFilesUntilTheProcessIsAskedToEnd() throws Exception {
        Path keys = Files.writeString(directory.resolve("keys"), "first\n\nsecond\n");
        Path other = Files.copy(Path.of(Program.STORIES), directory.resolve("other-00001-of-00001.gguf"));
        Process process = start(Program.STORIES, other.toString(), "--port", "0", "--api-key-file", keys.toString(),
                "--max-tokens", "5", "--max-models", "1");
        try (BufferedReader errors = new BufferedReader(
                new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8))) {
            String url = url(errors);
            assertTrue(url.matches("http://127\\.0\\.0\\.1:\\d+"), url);
            for (String name : List.of("reprise-stories-7M-Q4_K_M", "other")) {
                HttpResponse<String> answer = ask(url + "/v1/completions", "second",
                        "{\"model\":\"" + name + "\",\"prompt\":\"Once\",\"max_tokens\":50}");
                assertEquals(200, answer.statusCode(), answer.body());
                assertTrue(answer.body().contains("\"completion_tokens\":5,"), answer.body());
            }
            assertEquals(401, ask(url + "/v1/completions", "third", "{}").statusCode());
            process.destroy();
            assertTrue(process.waitFor(30, TimeUnit.SECONDS));
            assertEquals(TERMINATED, process.exitValue());
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void whatCannotBeServedIsToldAtOnce() throws IOException {
        assertTrue(Program.run("serve", "absent.gguf").fails(ExitCode.IO).err().contains("absent.gguf"));
        assertTrue(Program.run("serve", Program.STORIES, "--port", "70000").fails(ExitCode.USAGE).err()
                .contains("port is 70000"));
        assertTrue(Program.run("serve", Program.STORIES, Program.STORIES, "--port", "0").fails(ExitCode.USAGE).err()
                .contains("two models have the name"));
        assertTrue(Program.run("serve", Program.STORIES, "--port", "0", "--context", "100000").fails(ExitCode.USAGE)
                .err().contains("context"));
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            assertTrue(Program.run("serve", Program.STORIES, "--port", Integer.toString(taken.getLocalPort()))
                    .fails(ExitCode.IO).err().contains("cannot listen on 127.0.0.1:"));
        }
    }
}
