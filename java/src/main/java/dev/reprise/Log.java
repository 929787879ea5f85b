package dev.reprise;

/** What goes on without an exception, for the logger {@code dev.reprise}. */
final class Log {
    private static final System.Logger LOGGER = System.getLogger("dev.reprise");

    private Log() {}

    static void warn(String message) {
        log(System.Logger.Level.WARNING, message);
    }

    static void log(System.Logger.Level level, String message) {
        try {
            LOGGER.log(level, message);
        } catch (Throwable e) {
            // From the application's handler. Whoever logs cannot pass it on, and is no failure itself.
        }
    }
}
