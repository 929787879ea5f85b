package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class ProgressBarTest {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ProgressBar bar = new ProgressBar(new PrintStream(out, true, StandardCharsets.UTF_8));

    private String drawn() {
        String text = out.toString(StandardCharsets.UTF_8);
        out.reset();
        return text;
    }

    @Test
    void fillsFromEndToEnd() {
        long total = 5_000_000_000L;
        bar.update(0, total);
        assertEquals("\rLoading [" + " ".repeat(40) + "]   0 % of 5.0 GB", drawn());
        bar.update(total / 2, total);
        assertEquals("\rLoading [" + "#".repeat(20) + " ".repeat(20) + "]  50 % of 5.0 GB", drawn());
        bar.update(total, total);
        assertEquals("\rLoading [" + "#".repeat(40) + "] 100 % of 5.0 GB", drawn());
    }

    @Test
    void isDrawnOnlyWhenItChanges() {
        for (int done = 0; done <= 1_000_000; done++) {
            bar.update(done, 1_000_000);
        }
        assertEquals(101, drawn().split("\r", -1).length - 1);
    }

    @Test
    void leavesNothingBehind() {
        bar.clear();
        assertEquals("", drawn());
        bar.update(1, 2);
        drawn();
        bar.clear();
        assertEquals("\r\033[K", drawn());
        bar.update(0, 0);
        assertTrue(drawn().contains("100 %"));
    }
}
