package dev.reprise.cli;

/** Lines of standard input that is no terminal. Ctrl-C ends the program there as ever. */
final class PipedLines implements LineSource {
    private final Terminal terminal;

    PipedLines(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public String read(String prompt) {
        String line = terminal.readLine();
        if (line == null) {
            return null;
        }
        StringBuilder whole = new StringBuilder();
        while (line != null && line.endsWith("\\")) {
            whole.append(line, 0, line.length() - 1).append('\n');
            line = terminal.readLine();
        }
        return whole.append(line == null ? "" : line).toString();
    }

    @Override
    public void onInterrupt(Runnable action) {
        // A pipe brings no Ctrl-C.
    }

    @Override
    public boolean interactive() {
        return false;
    }

    @Override
    public void close() {
        // Standard input is the process's.
    }
}
