package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Damaged files are used or refused, never more. In a process of its own, which a crash would end. What it tries is
 * native code, the same under every JVM: one of them is enough.
 */
@Tag("one-jvm")
class MutatedFileTest {
    @TempDir
    Path directory;

    @Test
    @Timeout(600)
    void twentyThousandDamagedFilesAreLoadedOrRefused() throws IOException, InterruptedException {
        run(MutatedFiles.class, "20000");
    }

    @Test
    @Timeout(600)
    void tenThousandDamagedSessionsAreRestoredOrRefused() throws IOException, InterruptedException {
        run(MutatedSessions.class, "10000");
    }

    private void run(Class<?> program, String count) throws IOException, InterruptedException {
        ChildJvm.Result result = ChildJvm.run(
                List.of("-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                program, directory.toString(), count);

        System.out.print(result.out());
        assertEquals(0, result.exitCode());
    }
}
