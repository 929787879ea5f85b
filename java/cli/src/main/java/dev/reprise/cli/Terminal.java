package dev.reprise.cli;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** Where a command reads from and writes to. Text is UTF-8 whatever the locale says. */
final class Terminal {
    private final InputStream in;
    private final OutputStream out;
    private final PrintStream err;
    private final boolean outIsPipe;
    private final boolean inIsTerminal;
    private final boolean outIsTerminal;
    private final boolean errIsTerminal;

    /** Input and output that are neither a pipe nor a terminal. */
    Terminal(InputStream in, OutputStream out, OutputStream err) {
        this(in, out, err, "", "", "");
    }

    /** The last three: what the streams lead to. */
    private Terminal(InputStream in, OutputStream out, OutputStream err, String inFile, String outFile,
            String errFile) {
        this.in = in;
        this.out = out;
        this.err = new PrintStream(err, true, StandardCharsets.UTF_8);
        outIsPipe = outFile.startsWith("pipe:") || outFile.startsWith("socket:");
        inIsTerminal = isTerminal(inFile);
        outIsTerminal = isTerminal(outFile);
        errIsTerminal = isTerminal(errFile);
    }

    private static boolean isTerminal(String file) {
        return file.startsWith("/dev/pts/") || file.startsWith("/dev/tty") || file.equals("/dev/console");
    }

    /** Those of the process. */
    static Terminal ofProcess() {
        return new Terminal(
                // Buffered, since reading all of a pipe from a FileInputStream fails: it asks for the position.
                new BufferedInputStream(new FileInputStream(FileDescriptor.in)),
                new FileOutputStream(FileDescriptor.out),
                new FileOutputStream(FileDescriptor.err),
                descriptor(0), descriptor(1), descriptor(2));
    }

    /** What a file descriptor of the process leads to; empty if the system does not tell. */
    private static String descriptor(int number) {
        try {
            return Files.readSymbolicLink(Path.of("/proc/self/fd/" + number)).toString();
        } catch (IOException e) {
            return "";
        }
    }

    /** Writes text at once. */
    void print(String text) {
        print(text.getBytes(StandardCharsets.UTF_8));
    }

    void print(byte[] bytes) {
        try {
            out.write(bytes);
            out.flush();
        } catch (IOException e) {
            if (outIsPipe) {
                throw new OutputClosedException(e);
            }
            throw new UncheckedIOException("cannot write the output: " + e.getMessage(), e);
        }
    }

    /** What went wrong. The message of the commonest failures is the file's name alone. */
    static String reason(IOException e) {
        if (e instanceof NoSuchFileException) {
            return "no such file or folder";
        }
        if (e instanceof AccessDeniedException) {
            return "permission denied";
        }
        if (e instanceof FileSystemException failure && failure.getReason() != null) {
            return failure.getReason();
        }
        return e.getMessage();
    }

    /** Everything there is on standard input. */
    String readAll() {
        try {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read standard input: " + e.getMessage(), e);
        }
    }

    /** The next line of standard input, without its end; null where there is none. */
    String readLine() {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        try {
            int next = in.read();
            if (next < 0) {
                return null;
            }
            for (; next >= 0 && next != '\n'; next = in.read()) {
                line.write(next);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read standard input: " + e.getMessage(), e);
        }
        String text = line.toString(StandardCharsets.UTF_8);
        return text.endsWith("\r") ? text.substring(0, text.length() - 1) : text;
    }

    /** The text of a file; {@code -} is standard input. */
    String readFile(Path file) {
        if (file.toString().equals("-")) {
            return readAll();
        }
        try {
            return new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + file + ": " + reason(e), e);
        }
    }

    /** For help and version. */
    PrintWriter helpWriter() {
        return new PrintWriter(new OutputStreamWriter(out, StandardCharsets.UTF_8), true);
    }

    /** For messages, statistics and the progress bar. */
    PrintStream err() {
        return err;
    }

    boolean inIsTerminal() {
        return inIsTerminal;
    }

    boolean outIsTerminal() {
        return outIsTerminal;
    }

    boolean errIsTerminal() {
        return errIsTerminal;
    }
}
