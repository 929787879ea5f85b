package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.reprise.natives.reprise;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the native library logs, by way of the logger that Java has without any other library. */
class LoggingTest {
    private final LogRecorder log = new LogRecorder();
    private final List<LogRecord> records = log.records();

    @BeforeEach
    void onlyWithoutGpu() {
        assumeFalse(Backend.describe().cudaAvailable(), "with a GPU there is nothing to log");
    }

    @AfterEach
    void leave() {
        log.close();
    }

    private static void loadWhereverItRuns() {
        Model.load(StoryModel.PATH).close();
    }

    @Test
    void aModelThatRunsOnTheCpuSaysWhy() {
        loadWhereverItRuns();

        assertEquals(1, records.size());
        assertEquals(Level.FINE, records.get(0).getLevel());
        String message = records.get(0).getMessage();
        assertTrue(message.contains(Backend.describe().cudaReason()), message);
    }

    @Test
    void warningsAreWarnings() {
        Native.log(reprise.REPRISE_LOG_WARN, "slow {0}");
        Native.log(reprise.REPRISE_LOG_INFO, "a detail");

        assertEquals(List.of(Level.WARNING, Level.FINE), records.stream().map(LogRecord::getLevel).toList());
        assertEquals("slow {0}", records.get(0).getMessage());
    }

    @Test
    void aHandlerThatThrowsIsNoFailureOfTheLoad() {
        log.throwsError();
        loadWhereverItRuns();
        assertEquals(1, records.size());
    }
}
