package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.Loader;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Users without a name or a home on one machine, one of whom plants libraries where the other's might be; and file
 * systems that are full, read-only or not for programs. Root alone can play them: other users skip this.
 */
class OtherUsersTest {
    private static final int ATTACKER = 54400;
    private static final int VICTIM = 54401;

    /** What every user can read: the class path and more. */
    private static Path shared;
    private static String classPath;

    private Path temporary;
    private Path work;

    @BeforeAll
    static void copyTheClassPathToWhereAllCanRead() throws Exception {
        assumeTrue(Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0), "not run by root");
        shared = Files.createTempDirectory("reprise-test-users");
        allow(shared, "rwxr-xr-x");
        List<String> copies = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(":")) {
            Path source = Path.of(entry);
            if (Files.exists(source)) {
                Path copy = shared.resolve(copies.size() + "-" + source.getFileName());
                copy(source, copy);
                copies.add(copy.toString());
            }
        }
        classPath = String.join(":", copies);
        assumeTrue(succeeds(as(VICTIM, "true")), "no setpriv");
    }

    private static void copy(Path source, Path target) throws IOException {
        try (var files = Files.walk(source)) {
            for (Path file : files.toList()) {
                Path copy = target.resolve(source.relativize(file).toString());
                if (Files.isDirectory(file)) {
                    allow(Files.createDirectories(copy), "rwxr-xr-x");
                } else {
                    allow(Files.copy(file, copy), "rw-r--r--");
                }
            }
        }
    }

    @AfterAll
    static void removeTheCopies() throws IOException {
        if (shared == null) {
            return;
        }
        Files.walkFileTree(shared, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path folder, IOException failure) throws IOException {
                Files.delete(folder);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    @BeforeEach
    void makeFolders() throws IOException {
        Path machine = Files.createTempDirectory(shared, "machine");
        allow(machine, "rwxr-xr-x");
        temporary = Files.createDirectory(machine.resolve("tmp"));
        work = Files.createDirectory(machine.resolve("work"));
        Files.setAttribute(temporary, "unix:mode", 01777);
        Files.setAttribute(work, "unix:mode", 01777);
    }

    private static Path allow(Path file, String rights) throws IOException {
        return Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(rights));
    }

    // ---- running ---------------------------------------------------------------------------------------------------

    private static List<String> as(int user, String... command) {
        List<String> all = new ArrayList<>(List.of(
                "setpriv", "--reuid", "" + user, "--regid", "" + user, "--clear-groups", "env", "-u", "HOME", "-u",
                "XDG_CACHE_HOME"));
        all.addAll(List.of(command));
        return all;
    }

    private static boolean succeeds(List<String> command) throws InterruptedException {
        try {
            return new ProcessBuilder(command).redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
        } catch (IOException e) {
            return false;
        }
    }

    private void shell(int user, String script) throws InterruptedException {
        assertTrue(succeeds(as(user, "sh", "-e", "-c", script)), script);
    }

    /** What {@link FirstLoad} says to a user of this machine. */
    private String tell(int user, String... flags) throws IOException, InterruptedException {
        List<String> all = new ArrayList<>(List.of("-Djava.io.tmpdir=" + temporary));
        all.addAll(List.of(flags));
        List<String> java = ChildJvm.builder(all, classPath, FirstLoad.class).command();
        return FirstLoad.tell(new ProcessBuilder(as(user, java.toArray(new String[0])))
                .directory(work.toFile()).redirectError(ProcessBuilder.Redirect.INHERIT));
    }

    private static int owner(String file) throws IOException {
        return (Integer) Files.getAttribute(Path.of(file), "unix:uid");
    }

    // ---- other users -----------------------------------------------------------------------------------------------

    @Test
    void usersWithoutANameDoNotMeet() throws Exception {
        String one = tell(ATTACKER);
        String other = tell(VICTIM);

        assertTrue(one.startsWith(temporary + "/reprise-natives-") && owner(one) == ATTACKER, one);
        assertTrue(other.startsWith(temporary + "/reprise-natives-") && owner(other) == VICTIM, other);
        assertNotEquals(Path.of(one).getParent().getParent(), Path.of(other).getParent().getParent());
        assertEquals(other, tell(VICTIM), "not found again");
        assertEquals(List.of(), FirstLoad.files(work));
    }

    /** The right name and even the right content: whoever owns the folder can exchange it after the look at it. */
    @Test
    void whatAnotherUserPlantedIsNotTouched() throws Exception {
        String hash = Path.of(tell(ATTACKER)).getParent().getFileName().toString();
        String library = "/" + hash + "/libjnireprise.so";
        shell(ATTACKER, "umask 0; cd " + temporary + "; mine=$(echo reprise-natives-*);"
                + " for folder in reprise-natives-000 reprise-natives-zzz reprise .javacpp-?/cache; do"
                + "   mkdir -p $folder/" + hash + "; echo planted > $folder" + library + "; done;"
                + " ln -s $mine reprise-natives-00; ln -s reprise-natives-000 reprise-natives-01; chmod 755 $mine;"
                + " cd " + work + "; for folder in ? ?/.cache ?/.javacpp; do mkdir -p $folder/reprise/" + hash + ";"
                + "   echo planted > $folder/reprise" + library + "; done");
        for (String[] flags : new String[][] {{}, {"-Ddev.reprise.cache=" + temporary}, {"-Duser.home=" + temporary}}) {
            String told = tell(VICTIM, flags);
            assertTrue(told.startsWith("/") && owner(told) == VICTIM, told);
            assertEquals(VICTIM, owner(Path.of(told).getParent().getParent().toString()));
        }
    }

    /** A container's user without a name often has the temporary directory for a home. */
    @Test
    void javaCppDoesNotUseACacheThatAnotherUserCanWriteTo() throws Exception {
        shell(ATTACKER, "umask 0; mkdir -p " + temporary + "/.javacpp/cache");
        List<String> flags = List.of("-Djava.io.tmpdir=" + temporary, "-Duser.home=" + temporary);
        List<String> java = ChildJvm.builder(flags, classPath, JavaCppCache.class).command();
        String told = FirstLoad.tell(new ProcessBuilder(as(VICTIM, java.toArray(new String[0])))
                .directory(work.toFile()).redirectError(ProcessBuilder.Redirect.INHERIT));
        assertTrue(told.startsWith(temporary + "/.cache/reprise/") && owner(told) == VICTIM, told);
    }

    /** A program that says where JavaCPP has its cache once the library is loaded. */
    static final class JavaCppCache {
        private JavaCppCache() {}

        public static void main(String[] arguments) throws IOException {
            Backend.describe();
            System.out.println(Loader.getCacheDir());
        }
    }

    /** As {@code sudo} and {@code su} do that leave the environment or the home as it was. */
    @Test
    void rootDoesNotLoadFromAFolderOfAnotherUser() throws Exception {
        shell(ATTACKER, "mkdir -p " + work + "/home/.cache/reprise; chmod -R 700 " + work + "/home");
        for (String flag : List.of("-Ddev.reprise.cache=", "-Duser.home=")) {
            String told = tell(0, flag + work + "/home", "-Djava.io.tmpdir=" + temporary);
            assertTrue(told.startsWith("/") && owner(told) == 0 && !told.startsWith(work.toString()), told);
        }
    }

    /** Where the kernel shows root's folders as somebody's who has no number. */
    @Test
    void aSandboxWithUserIdsOfItsOwnIsNoObstacle() throws Exception {
        assumeTrue(succeeds(as(VICTIM, "unshare", "-r", "true")), "not allowed to make user namespaces");
        List<String> flags = List.of("-Djava.io.tmpdir=" + temporary);
        List<String> command = as(VICTIM, "unshare", "-r");
        command.addAll(ChildJvm.builder(flags, classPath, FirstLoad.class).command());
        String told = FirstLoad.tell(new ProcessBuilder(command).directory(work.toFile())
                .redirectError(ProcessBuilder.Redirect.INHERIT));
        assertTrue(told.startsWith(temporary.toString()) && owner(told) == VICTIM, told);
    }

    // ---- file systems ----------------------------------------------------------------------------------------------

    /** As a shell script does it, in which the mounts are seen by nobody else; {@code $1} and up are the program. */
    private String tellWith(String mounts, String... flags) throws IOException, InterruptedException {
        assumeTrue(succeeds(List.of("unshare", "-m", "mount", "-t", "tmpfs", "none", work.toString())),
                "not allowed to mount file systems");
        List<String> all = new ArrayList<>(List.of("-Djava.io.tmpdir=" + temporary, "-Duser.home=" + work + "/home"));
        all.addAll(List.of(flags));
        List<String> command = new ArrayList<>(
                List.of("unshare", "-m", "sh", "-e", "-c",
                        mounts + "; \"$@\"; find " + work + " -name '*.tmp' >&2", "sh"));
        command.addAll(ChildJvm.builder(all, classPath, FirstLoad.class).command());
        ProcessBuilder builder = new ProcessBuilder(command);
        Path errors = Files.createTempFile(shared, "errors", "");
        String told = FirstLoad.tell(builder.redirectError(errors.toFile()));
        assertTrue(!Files.readString(errors).contains(".tmp"), Files.readString(errors));
        return told;
    }

    private String mount(Path where, String options) {
        return "mkdir -p " + where + "; mount -t tmpfs -o mode=700," + options + " none " + where;
    }

    @Test
    void aFileSystemThatIsNotForProgramsIsPassedOver() throws Exception {
        String home = mount(work.resolve("home"), "noexec");
        assertTrue(tellWith(home).startsWith(temporary.toString()), "the temporary directory");

        String told = tellWith(home + ";" + mount(temporary, "noexec") + ";" + mount(work.resolve("own"), "noexec"),
                "-Ddev.reprise.cache=" + work + "/own");
        assertTrue(told.startsWith("LIBRARY_UNAVAILABLE"), told);
        for (Path tried : List.of(work.resolve("own"), work.resolve("home/.cache"), temporary)) {
            assertTrue(told.contains(tried + " ("), tried + " is missing in: " + told);
        }
        assertTrue(told.contains("-Ddev.reprise.cache=FOLDER") && told.contains("failed to map segment"), told);
    }

    @Test
    void aFullDiskIsPassedOver() throws Exception {
        String home = mount(work.resolve("home"), "size=512k");
        assertTrue(tellWith(home).startsWith(temporary.toString()), "the temporary directory");

        String told = tellWith(home + ";" + mount(temporary, "size=512k"));
        assertTrue(told.startsWith("LIBRARY_UNAVAILABLE") && told.contains("No space left on device"), told);
    }

    @Test
    void aReadOnlyHomeIsPassedOverUnlessTheLibraryIsThere() throws Exception {
        Path home = work.resolve("home");
        String readOnly =
                "mkdir -p " + home + "; mount --bind " + home + " " + home + "; mount -o remount,ro,bind " + home;
        assertTrue(tellWith(readOnly).startsWith(temporary.toString()), "the temporary directory");

        String unpacked = tellWith("true");
        assertTrue(unpacked.startsWith(home.toString()), unpacked);
        assertEquals(unpacked, tellWith(readOnly));
    }
}
