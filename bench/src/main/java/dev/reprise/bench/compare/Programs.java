package dev.reprise.bench.compare;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Finds and runs other programs. */
final class Programs {
    private static final Pattern VERSION = Pattern.compile("version(?: is|:)? +(.+)", Pattern.CASE_INSENSITIVE);

    private Programs() {}

    /** The program of this name in the folders of {@code PATH}, or of the system property that tests set instead. */
    static Optional<Path> onPath(String name) {
        String path = System.getProperty("reprise.bench.path", System.getenv("PATH"));
        for (String folder : path.split(File.pathSeparator)) {
            Path file = Path.of(folder.isEmpty() ? "." : folder, name);
            if (Files.isRegularFile(file) && Files.isExecutable(file)) {
                return Optional.of(file);
            }
        }
        return Optional.empty();
    }

    /**
     * Runs a program to its end and returns its standard output.
     *
     * @throws IOException if it ends with another status than 0; the message has the end of its standard error
     */
    static String run(List<String> command, Map<String, String> environment) throws IOException {
        Path errors = Files.createTempFile("reprise-compare-", ".log");
        try {
            ProcessBuilder builder = new ProcessBuilder(command).redirectError(errors.toFile());
            builder.environment().putAll(environment);
            Process process = builder.start();
            process.getOutputStream().close();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            int status = waitFor(process);
            if (status != 0) {
                throw new IOException(command.get(0) + " ended with status " + status + ": " + tail(errors));
            }
            return output;
        } finally {
            Files.delete(errors);
        }
    }

    /** The version that a program prints, on either stream, when asked for it; empty if it prints none. */
    static String version(Path program, String option) throws IOException {
        Process process = new ProcessBuilder(program.toString(), option).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        waitFor(process);
        Matcher matcher = VERSION.matcher(output);
        return matcher.find() ? matcher.group(1).strip() : "";
    }

    /** The last lines of a log, in one line. */
    static String tail(Path log) throws IOException {
        List<String> lines = new String(Files.readAllBytes(log), StandardCharsets.UTF_8).lines().toList();
        return String.join(" | ", lines.subList(Math.max(0, lines.size() - 5), lines.size()));
    }

    /** Ends a program and those it started. */
    static void end(Process process) {
        List<ProcessHandle> all = new ArrayList<>(process.descendants().toList());
        all.add(process.toHandle());
        all.forEach(ProcessHandle::destroy);
        try {
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                all.forEach(ProcessHandle::destroyForcibly);
            }
        } catch (InterruptedException e) {
            all.forEach(ProcessHandle::destroyForcibly);
            Thread.currentThread().interrupt();
        }
    }

    /** Resident memory of a program and those it started, in bytes; 0 where the system does not tell. */
    static long residentBytes(ProcessHandle process) {
        long kilobytes = residentKilobytes(process.pid());
        for (ProcessHandle child : process.descendants().toList()) {
            kilobytes += residentKilobytes(child.pid());
        }
        return kilobytes * 1024;
    }

    private static long residentKilobytes(long pid) {
        try {
            return Files.readString(Path.of("/proc", Long.toString(pid), "status")).lines()
                    .filter(line -> line.startsWith("VmRSS:"))
                    .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                    .sum();
        } catch (IOException e) {
            return 0;
        }
    }

    /** A TCP port that nobody listens on. */
    static int freePort() {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException("no free port: " + e.getMessage(), e);
        }
    }

    private static int waitFor(Process process) throws IOException {
        try {
            return process.waitFor();
        } catch (InterruptedException e) {
            end(process);
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while " + process.info().command().orElse("a program") + " ran", e);
        }
    }
}
