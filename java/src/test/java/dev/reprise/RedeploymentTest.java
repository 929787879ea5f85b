package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** An application with Reprise in it is undeployed with all it has: class loader, threads, copies of the library. */
@Timeout(500)
class RedeploymentTest {
    @TempDir
    Path folder;

    private String run(int times, String how) throws IOException, InterruptedException {
        Path temporary = Files.createDirectories(folder.resolve("tmp"));
        List<String> flags = List.of(
                "-Ddev.reprise.cache=" + folder.resolve("cache"),
                "-Djava.io.tmpdir=" + temporary,
                "-XX:+UseSerialGC",
                // Compiler threads come and go with the load on machines of many cores: here all are there from the
                // start.
                "-XX:-UseDynamicNumberOfCompilerThreads");
        ChildJvm.Result result =
                ChildJvm.run(flags, Redeployments.class, StoryModel.PATH.toString(), "" + times, how);
        assertEquals(0, result.exitCode(), result.out());
        assertEquals(2, FirstLoad.files(folder.resolve("cache/reprise")).size(), "a folder and the library");
        assertEquals(List.of(), FirstLoad.files(temporary));
        return FirstLoad.last(result);
    }

    @Test
    void nothingIsLeftOfFiftyRedeployments() throws Exception {
        assertEquals("loaders alive 0, mapped 0", run(50, "closed"));
    }

    @Test
    void norOfAnApplicationThatClosesNothing() throws Exception {
        assertEquals("loaders alive 0, mapped 0", run(10, "left"));
    }

    @Test
    void applicationsBesideEachOtherHaveALibraryEach() throws Exception {
        assertEquals("mapped 3 beside each other, then loaders alive 0, mapped 0", run(3, "beside"));
    }
}
