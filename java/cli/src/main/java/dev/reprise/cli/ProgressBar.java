package dev.reprise.cli;

import dev.reprise.ModelOptions;
import java.io.PrintStream;
import java.util.Locale;

/** Shows on a terminal how far a model is loaded; nothing is left of it at the end. */
final class ProgressBar implements ModelOptions.Progress {
    private static final int WIDTH = 40;

    private final PrintStream terminal;
    private int lastPercent = -1;

    ProgressBar(PrintStream terminal) {
        this.terminal = terminal;
    }

    @Override
    public void update(long doneBytes, long totalBytes) {
        int percent = totalBytes == 0 ? 100 : (int) (doneBytes * 100.0 / totalBytes);
        if (percent == lastPercent) {
            return;
        }
        lastPercent = percent;
        terminal.print(String.format(
                Locale.ROOT, "\rLoading %s %3d %% of %.1f GB", bar(percent), percent, totalBytes / 1e9));
        terminal.flush();
    }

    /** The bar alone. */
    static String bar(int percent) {
        int filled = percent * WIDTH / 100;
        return "[" + "#".repeat(filled) + " ".repeat(WIDTH - filled) + "]";
    }

    /** Takes the bar away. */
    void clear() {
        if (lastPercent >= 0) {
            terminal.print("\r\033[K");
            terminal.flush();
        }
    }
}
