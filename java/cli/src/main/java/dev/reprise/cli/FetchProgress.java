package dev.reprise.cli;

import dev.reprise.HuggingFace;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Locale;

/** Shows how far a model is fetched: a bar on a terminal, of which nothing is left, else a line every now and then. */
final class FetchProgress implements HuggingFace.Progress {
    private static final long LINE_NANOS = 5_000_000_000L;

    private final PrintStream err;
    private final boolean isTerminal;
    private boolean shown;
    private boolean ended;
    private long lastNanos;
    private String lastBar = "";

    FetchProgress(PrintStream err, boolean isTerminal) {
        this.err = err;
        this.isTerminal = isTerminal;
    }

    /** Fetches a model as far as it is not there. Nothing is shown of what is. */
    static Path fetch(HuggingFace name, Terminal terminal) {
        FetchProgress progress = new FetchProgress(terminal.err(), terminal.errIsTerminal());
        try {
            return name.fetch(progress);
        } finally {
            progress.clear();
        }
    }

    @Override
    public void update(String file, long doneBytes, long totalBytes, long bytesPerSecond) {
        boolean whole = doneBytes >= totalBytes;
        if (!shown && whole) {
            return;
        } else if (isTerminal) {
            show(bar(file, doneBytes, totalBytes, bytesPerSecond));
        } else {
            long now = System.nanoTime();
            if (!shown || now - lastNanos >= LINE_NANOS || whole && !ended) {
                err.println("fetching " + file + ": " + state(doneBytes, totalBytes, bytesPerSecond));
                lastNanos = now;
            }
            ended = whole;
        }
        shown = true;
    }

    private void show(String bar) {
        if (!bar.equals(lastBar)) {
            err.print("\r\033[K" + bar);
            err.flush();
            lastBar = bar;
        }
    }

    private static String bar(String file, long doneBytes, long totalBytes, long bytesPerSecond) {
        return "Fetching " + file.substring(file.lastIndexOf('/') + 1) + " "
                + ProgressBar.bar(percent(doneBytes, totalBytes)) + " " + state(doneBytes, totalBytes, bytesPerSecond);
    }

    private static String state(long doneBytes, long totalBytes, long bytesPerSecond) {
        String state = String.format(
                Locale.ROOT, "%d %% of %s", percent(doneBytes, totalBytes), size(totalBytes));
        if (doneBytes >= totalBytes || bytesPerSecond == 0) {
            return state;
        }
        return state + String.format(
                Locale.ROOT, ", %.1f MB/s, %s left", bytesPerSecond / 1e6,
                time((totalBytes - doneBytes) / bytesPerSecond));
    }

    private static int percent(long doneBytes, long totalBytes) {
        return totalBytes == 0 ? 100 : (int) (doneBytes * 100.0 / totalBytes);
    }

    private static String time(long seconds) {
        return seconds < 60 ? seconds + " s" : seconds < 3600 ? seconds / 60 + " min" : seconds / 3600 + " h";
    }

    private static String size(long bytes) {
        return bytes < 1_000_000_000
                ? String.format(Locale.ROOT, "%.1f MB", bytes / 1e6)
                : String.format(Locale.ROOT, "%.2f GB", bytes / 1e9);
    }

    /** Takes the bar away. */
    void clear() {
        if (isTerminal && shown) {
            err.print("\r\033[K");
            err.flush();
        }
    }
}
