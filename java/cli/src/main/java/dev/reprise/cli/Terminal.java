package dev.reprise.cli;

import java.io.BufferedInputStream;
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
    private final boolean errIsTerminal;

    /** Input and output that are neither a pipe nor a terminal. */
    Terminal(InputStream in, OutputStream out, OutputStream err) {
        this(in, out, err, false, false);
    }

    private Terminal(InputStream in, OutputStream out, OutputStream err, boolean outIsPipe, boolean errIsTerminal) {
        this.in = in;
        this.out = out;
        this.err = new PrintStream(err, true, StandardCharsets.UTF_8);
        this.outIsPipe = outIsPipe;
        this.errIsTerminal = errIsTerminal;
    }

    /** Those of the process. */
    static Terminal ofProcess() {
        String out = descriptor(1);
        String err = descriptor(2);
        return new Terminal(
                // Buffered, since reading all of a pipe from a FileInputStream fails: it asks for the position.
                new BufferedInputStream(new FileInputStream(FileDescriptor.in)),
                new FileOutputStream(FileDescriptor.out),
                new FileOutputStream(FileDescriptor.err),
                out.startsWith("pipe:") || out.startsWith("socket:"),
                err.startsWith("/dev/pts/") || err.startsWith("/dev/tty") || err.equals("/dev/console"));
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

    /** For help and version. */
    PrintWriter helpWriter() {
        return new PrintWriter(new OutputStreamWriter(out, StandardCharsets.UTF_8), true);
    }

    /** For messages, statistics and the progress bar. */
    PrintStream err() {
        return err;
    }

    boolean errIsTerminal() {
        return errIsTerminal;
    }
}
