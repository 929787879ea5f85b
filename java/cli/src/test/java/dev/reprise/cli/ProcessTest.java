package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.jar.Attributes;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The program as a process: signals, pipes, locale, folders that cannot be written to. */
@Timeout(60)
class ProcessTest {
    @TempDir
    Path directory;

    /** A run of some seconds: nonsense, which seldom ends, in a context that the model was not made for. */
    private List<String> longRun() throws IOException {
        byte[] bytes = Files.readAllBytes(Path.of(Program.STORIES));
        byte[] key = "llama.context_length".getBytes(StandardCharsets.US_ASCII);
        int at = 0;
        while (!Arrays.equals(bytes, at, at + key.length, key, 0, key.length)) {
            at++;
        }
        int valueType = 4;
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(at + key.length + valueType, 1 << 16);
        Path file = Files.write(directory.resolve("long.gguf"), bytes);
        return List.of(
                "run", file.toString(), "-p", "Once upon a time", "--context", "20000", "--temp", "1000",
                "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "1", "--threads", "1");
    }

    private ProcessBuilder program(List<String> flags, List<String> arguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        // What newer JVMs ask for, and where the native library is unpacked to.
        for (String flag : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            if (flag.startsWith("--enable-native-access") || flag.startsWith("-Ddev.reprise")) {
                command.add(flag);
            }
        }
        command.addAll(flags);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "dev.reprise.cli.Main"));
        command.addAll(arguments);
        return new ProcessBuilder(command).redirectError(errors());
    }

    private File errors() {
        return directory.resolve("errors").toFile();
    }

    private String readErrors() throws IOException {
        return Files.readString(errors().toPath());
    }

    private static String read(InputStream in) throws IOException {
        return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }

    @Test
    void textIsUtf8WhateverTheLocale() throws Exception {
        ProcessBuilder builder = program(List.of("-Dfile.encoding=US-ASCII"), List.of("detokenize", Program.STORIES));
        builder.environment().put("LC_ALL", "C");
        String ids = Program.runWithInput("Grüße 🙂", "tokenize", Program.STORIES, "--ids").out();
        Process process = builder.start();
        process.getOutputStream().write(ids.getBytes(StandardCharsets.US_ASCII));
        process.getOutputStream().close();

        assertEquals("Grüße 🙂", read(process.getInputStream()));
        assertEquals(ExitCode.OK, process.waitFor());
    }

    @Test
    void argumentsOfTheLauncherAreUtf8WhateverTheLocale() throws Exception {
        Path launcher = install(directory);
        // The JVM of the test, too, would encode arguments as the locale says; a script holds them as they are.
        Path script = Files.writeString(
                directory.resolve("script"), launcher + " tokenize " + Program.STORIES + " --ids -p 'Grüße 🙂'");
        ProcessBuilder builder = new ProcessBuilder("sh", script.toString()).redirectError(errors());
        builder.environment().put("LC_ALL", "C");
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        Process process = builder.start();

        assertEquals(
                Program.runWithInput("Grüße 🙂", "tokenize", Program.STORIES, "--ids").out(),
                read(process.getInputStream()));
        assertEquals(ExitCode.OK, process.waitFor(), readErrors());
    }

    /** The launcher in front of a jar that leads to the classes under test. */
    private static Path install(Path home) throws IOException {
        Path launcher = Path.of(System.getProperty("basedir", "."), "src/main/launcher/reprise");
        Path installed = Files.createDirectory(home.resolve("bin")).resolve("reprise");
        Files.copy(launcher, installed, StandardCopyOption.COPY_ATTRIBUTES);
        Manifest manifest = new Manifest();
        StringBuilder classPath = new StringBuilder();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            classPath.append(new File(entry).toURI()).append(' ');
        }
        manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
        manifest.getMainAttributes().put(Attributes.Name.MAIN_CLASS, "dev.reprise.cli.Main");
        manifest.getMainAttributes().put(Attributes.Name.CLASS_PATH, classPath.toString());
        manifest.getMainAttributes().putValue("Enable-Native-Access", "ALL-UNNAMED");
        Path jar = Files.createDirectory(home.resolve("lib")).resolve("reprise-cli.jar");
        new JarOutputStream(Files.newOutputStream(jar), manifest).close();
        return installed;
    }

    @Test
    void aHomeThatCannotBeWrittenDoesNotMatter() throws Exception {
        // /proc refuses new files to everybody, root included.
        Path temporary = Files.createDirectory(directory.resolve("tmp"));
        List<String> flags = List.of(
                "-Duser.home=/proc/none", "-Ddev.reprise.cache=/proc/none",
                "-Djava.io.tmpdir=" + temporary);
        Process process = program(flags, List.of("run", "-n", "5")).start();

        assertTrue(read(process.getInputStream()).startsWith("Once upon a time"));
        assertEquals(ExitCode.OK, process.waitFor(), readErrors());
        try (var files = Files.list(temporary)) {
            assertEquals(0, files.filter(file -> file.toString().endsWith(".gguf")).count());
        }
    }

    @Test
    void aTemporaryFolderThatCannotBeWrittenDoesNotMatter() throws Exception {
        List<String> flags = List.of("-Djava.io.tmpdir=/proc/none");
        Process process = program(flags, List.of("run", "-n", "5")).start();

        assertTrue(read(process.getInputStream()).startsWith("Once upon a time"));
        assertEquals(ExitCode.OK, process.waitFor(), readErrors());
    }

    @Test
    void controlCEndsTheGenerationAndStillShowsTheStatistics() throws Exception {
        ProcessBuilder builder = program(List.of(), longRun());
        // Tests that run in the background have SIGINT ignored, and children inherit that; a terminal's child does not.
        builder.command().addAll(0, List.of("env", "--default-signal=INT"));
        Process process = builder.start();
        InputStream out = process.getInputStream();
        out.readNBytes(20);
        new ProcessBuilder("kill", "-INT", Long.toString(process.pid())).start().waitFor();

        read(out);
        assertEquals(ExitCode.INTERRUPTED, process.waitFor());
        assertTrue(readErrors().contains("ended: CANCELLED"), readErrors());
    }

    @Test
    void aReaderThatGoesAwayEndsTheProgramQuietly() throws Exception {
        Process process = program(List.of(), longRun()).start();
        process.getInputStream().readNBytes(20);
        process.getInputStream().close();

        assertEquals(ExitCode.OUTPUT_CLOSED, process.waitFor());
        assertFalse(readErrors().contains("reprise:") || readErrors().contains("Exception"), readErrors());
    }

    @Test
    void nothingIsSaidThatWasNotAskedFor() throws Exception {
        Process process = program(List.of(), List.of("tokenize", Program.STORIES, "-p", "Once", "--ids")).start();
        assertEquals("842\n", read(process.getInputStream()));
        assertEquals(ExitCode.OK, process.waitFor());
        assertEquals("", readErrors());
    }
}
