package dev.reprise;

import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** Takes what goes to the logger {@code dev.reprise}, until it is closed. */
final class LogRecorder extends Handler implements AutoCloseable {
    private final Logger logger = Logger.getLogger("dev.reprise");
    private final List<LogRecord> records = new ArrayList<>();
    private boolean throwing;

    LogRecorder() {
        logger.setLevel(Level.ALL);
        logger.setUseParentHandlers(false);  // not to the console, where a warning means something
        logger.addHandler(this);
    }

    List<LogRecord> records() {
        return records;
    }

    /** The messages of the warnings so far, which are forgotten. */
    List<String> takeWarnings() {
        List<String> warnings = records.stream()
                .filter(record -> record.getLevel() == Level.WARNING).map(LogRecord::getMessage).toList();
        records.clear();
        return warnings;
    }

    @Override
    public void publish(LogRecord record) {
        records.add(record);
        if (throwing) {
            throw new AssertionError("a handler that fails");
        }
    }

    /** From now on recording a message throws, as an application's handler may. */
    void throwsError() {
        throwing = true;
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
        logger.removeHandler(this);
        logger.setLevel(null);
        logger.setUseParentHandlers(true);
    }
}
