package dev.reprise;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Runs a main class of the tests in a Java process of its own. */
final class ChildJvm {
    record Result(int exitCode, String out) {}

    /** A process that hangs is ended, which its exit code shows. */
    private static final long LIMIT_SECONDS = 500;

    private ChildJvm() {}

    static Result run(List<String> flags, Class<?> main, String... arguments)
            throws IOException, InterruptedException {
        return run(builder(flags, System.getProperty("java.class.path"), main, arguments));
    }

    /** With another class path, and an environment and a working directory to change. */
    static ProcessBuilder builder(List<String> flags, String classPath, Class<?> main, String... arguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        // What newer JVMs ask for, where the native library is unpacked to, how logged lines look.
        for (String flag : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            if (flag.startsWith("--enable-native-access")
                    || flag.startsWith("-Ddev.reprise")
                    || flag.startsWith("-Djava.util.logging")) {
                command.add(flag);
            }
        }
        command.addAll(flags);
        command.addAll(List.of("-cp", classPath, main.getName()));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
    }

    static Result run(ProcessBuilder builder) throws IOException, InterruptedException {
        return end(builder.start());
    }

    /** Waits for a process that {@link #builder} made. */
    static Result end(Process process) throws IOException, InterruptedException {
        CompletableFuture.delayedExecutor(LIMIT_SECONDS, TimeUnit.SECONDS).execute(process::destroyForcibly);
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Result(process.waitFor(), out);
    }
}
