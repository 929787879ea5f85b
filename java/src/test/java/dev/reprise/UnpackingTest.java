package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Where the native library is unpacked to, and what is loaded from there; {@code OtherUsersTest} brings the other
 * users.
 */
class UnpackingTest {
    @TempDir
    Path folder;

    private List<String> cache() {
        return List.of("-Ddev.reprise.cache=" + folder.resolve("cache"));
    }

    private Path cacheFolder() {
        return folder.resolve("cache/reprise");
    }

    private Path loadedFrom(List<String> flags) throws IOException, InterruptedException {
        String told = FirstLoad.tell(flags);
        assertTrue(told.startsWith("/"), told);
        return Path.of(told);
    }

    @Test
    void aFileIsNamedByItsContentInAFolderOfOneUser() throws Exception {
        Path file = loadedFrom(cache());

        assertEquals(cacheFolder().resolve(sha256(file)).resolve("libjnireprise.so"), file.toRealPath());
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(cacheFolder())));
        assertEquals(List.of(sha256(file), sha256(file) + "/libjnireprise.so"), FirstLoad.files(cacheFolder()));
        Object inode = Files.getAttribute(file, "unix:ino");
        assertEquals(file, loadedFrom(cache()));
        assertEquals(inode, Files.getAttribute(file, "unix:ino"), "unpacked again");
    }

    private static String sha256(Path file) throws IOException, NoSuchAlgorithmException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
    }

    /** All of the right size or date: neither says anything. */
    @Test
    void aFileWithOtherContentIsReplaced() throws Exception {
        Path file = loadedFrom(cache());
        byte[] right = Files.readAllBytes(file);
        FileTime date = Files.getLastModifiedTime(file);
        byte[] changed = right.clone();
        changed[changed.length - 1] ^= 1;
        byte[] longer = Arrays.copyOf(right, right.length + 1);
        for (byte[] wrong : List
                .of(new byte[right.length], changed, longer, Arrays.copyOf(right, right.length / 2), new byte[0])) {
            Files.write(file, wrong);
            Files.setLastModifiedTime(file, date);

            assertEquals(file, loadedFrom(cache()));
            assertTrue(Arrays.equals(right, Files.readAllBytes(file)), wrong.length + " bytes were left");
        }
        Files.delete(file);
        Files.createSymbolicLink(file, Files.write(folder.resolve("elsewhere"), right));
        assertEquals(file, loadedFrom(cache()));
        assertTrue(Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS), "a link was followed");
    }

    @Test
    void anotherVersionUnderTheSameNameIsNotTakenForTheOld() throws Exception {
        Path jar = Files.createDirectory(folder.resolve("jar"));
        ProcessBuilder program = ChildJvm.builder(cache(), FirstLoad.classPathWith(jar), FirstLoad.class);
        String old = FirstLoad.tell(program);
        FirstLoad.putOtherVersion(jar);
        String other = FirstLoad.tell(program);

        assertNotEquals(old, other);
        assertEquals(Files.size(Path.of(old)), Files.size(Path.of(other)));
        assertTrue(Arrays.equals(Files.readAllBytes(Path.of(other)), Files.readAllBytes(onlyLibraryIn(jar))));
    }

    private static Path onlyLibraryIn(Path jar) throws IOException {
        try (var files = Files.find(jar, 9, (file, attributes) -> file.endsWith("libjnireprise.so"))) {
            return files.findAny().get();
        }
    }

    @Test
    void manyProcessesOfTwoVersionsMayStartAtOnce() throws Exception {
        Path jar = Files.createDirectory(folder.resolve("jar"));
        FirstLoad.putOtherVersion(jar);
        List<Process> processes = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            String classPath = i % 2 == 0 ? System.getProperty("java.class.path") : FirstLoad.classPathWith(jar);
            processes.add(ChildJvm.builder(cache(), classPath, FirstLoad.class).start());
        }
        List<String> loaded = new ArrayList<>();
        for (Process process : processes) {
            loaded.add(FirstLoad.last(ChildJvm.end(process)));
        }

        for (int i = 0; i < 6; i++) {
            assertEquals(loaded.get(i % 2), loaded.get(i));
            assertTrue(loaded.get(i).startsWith(cacheFolder().toRealPath().toString()), loaded.get(i));
        }
        assertNotEquals(loaded.get(0), loaded.get(1));
        assertEquals(4, FirstLoad.files(cacheFolder()).size(), FirstLoad.files(cacheFolder()).toString());
    }

    @Test
    void whatADeadProcessLeftAndWhatNobodyUsesIsRemoved() throws Exception {
        Path file = loadedFrom(cache());
        Path left = Files.write(cacheFolder().resolve("libjnireprise-left.tmp"), new byte[10]);
        Path inWork = Files.write(cacheFolder().resolve("libjnireprise-work.tmp"), new byte[10]);
        Path old = Files.createDirectory(cacheFolder().resolve("0".repeat(64))).resolve("libjnireprise.so");
        Path recent = Files.createDirectory(cacheFolder().resolve("1".repeat(64))).resolve("libjnireprise.so");
        Files.write(old, new byte[10]);
        Files.write(recent, new byte[10]);
        Files.setLastModifiedTime(left, FileTime.from(Instant.now().minus(Duration.ofHours(2))));
        for (Path library : List.of(file, old)) {
            Files.setLastModifiedTime(library, FileTime.from(Instant.now().minus(Duration.ofDays(31))));
        }
        Files.setLastModifiedTime(recent, FileTime.from(Instant.now().minus(Duration.ofDays(29))));

        assertEquals(file, loadedFrom(cache()));
        assertFalse(Files.exists(left) || Files.exists(old.getParent()), FirstLoad.files(cacheFolder()).toString());
        assertTrue(Files.exists(inWork) && Files.exists(recent), FirstLoad.files(cacheFolder()).toString());
    }

    /** Home, then temporary directory; the working directory never, whatever the JVM takes for names of folders. */
    @Test
    void withoutAHomeTheTemporaryDirectoryIsUsed() throws Exception {
        Path work = Files.createDirectory(folder.resolve("work"));
        Path temporary = Files.createDirectory(folder.resolve("tmp"));
        String first = null;
        for (String home : List.of("?", "", "/", "relative", "/proc/none", "/dev/null")) {
            List<String> flags = List.of("-Duser.home=" + home, "-Djava.io.tmpdir=" + temporary);
            String told = FirstLoad.tell(ChildJvm.builder(flags, System.getProperty("java.class.path"), FirstLoad.class)
                    .directory(work.toFile()));

            assertTrue(told.startsWith(temporary.toRealPath() + "/reprise-natives-"), home + ": " + told);
            first = first == null ? told : first;
            assertEquals(first, told, "one folder for all");
            assertEquals(List.of(), FirstLoad.files(work));
        }
    }

    @Test
    void theCacheOfTheUserIsUsedAndJavaCppMakesNone() throws Exception {
        Path home = Files.createDirectory(folder.resolve("home"));
        Path xdg = folder.resolve("xdg");
        List<String> flags = List.of("-Duser.home=" + home);
        assertTrue(loadedFrom(flags).startsWith(home.toRealPath().resolve(".cache/reprise")));
        assertFalse(Files.exists(home.resolve(".javacpp")), FirstLoad.files(home).toString());

        ProcessBuilder program = ChildJvm.builder(flags, System.getProperty("java.class.path"), FirstLoad.class);
        program.environment().put("XDG_CACHE_HOME", xdg.toString());
        assertTrue(Path.of(FirstLoad.last(ChildJvm.run(program))).startsWith(xdg.toRealPath().resolve("reprise")));
    }

    @Test
    void aFolderThatOthersCanWriteToOrEnterIsPassedOver() throws Exception {
        Path temporary = Files.createDirectory(folder.resolve("tmp"));
        Path shared = Files.createDirectory(folder.resolve("shared"));
        Path open = Files.createDirectories(folder.resolve("open/reprise"));
        Path linked = Files.createDirectories(folder.resolve("linked"));
        Files.createSymbolicLink(linked.resolve("reprise"), Files.createDirectory(folder.resolve("target")));
        // What lies below a folder that others cannot enter is safe whatever its own rights.
        for (Path each : List.of(folder, folder.resolve("open"), open, linked)) {
            Files.setPosixFilePermissions(each, PosixFilePermissions.fromString("rwxr-xr-x"));
        }
        Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString("rwxrwxrwx"));
        for (Path refused : List.of(shared, open.getParent(), linked)) {
            List<String> flags = List.of(
                    "-Ddev.reprise.cache=" + refused, "-Duser.home=?", "-Djava.io.tmpdir=" + temporary);
            assertTrue(loadedFrom(flags).startsWith(temporary.toRealPath()), refused.toString());
        }
        assertEquals(List.of(), FirstLoad.files(shared));
        assertEquals(List.of(), FirstLoad.files(folder.resolve("target")));

        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx------"));
        assertTrue(loadedFrom(List.of("-Ddev.reprise.cache=" + shared)).startsWith(shared.toRealPath()));
    }

    /** Every place, why not there, and what to do; as an exception of the one tree that users catch. */
    @Test
    void aLibraryThatCannotBeUnpackedSaysWhatWasTried() throws Exception {
        String told = FirstLoad.tell(List.of(
                "-Ddev.reprise.cache=/proc/a", "-Duser.home=/proc/b", "-Djava.io.tmpdir=/proc/c"));
        assertTrue(told.startsWith("LIBRARY_UNAVAILABLE "), told);
        for (String part : List.of("/proc/a", "/proc/b/.cache", "/proc/c", "-Ddev.reprise.cache=FOLDER", "noexec")) {
            assertTrue(told.contains(part), part + " is missing in: " + told);
        }
        assertTrue(FirstLoad.tell(List.of("-Duser.home=?", "-Djava.io.tmpdir=?"))
                .contains("there is no such folder: '?'"));
    }

    @Test
    void aLibraryThatCannotBeLoadedSaysWhy() throws Exception {
        Path jar = Files.createDirectory(folder.resolve("jar"));
        FirstLoad.putBrokenLibraries(jar);
        String told = FirstLoad.tell(ChildJvm.builder(cache(), FirstLoad.classPathWith(jar), FirstLoad.class));
        assertTrue(told.startsWith("LIBRARY_UNAVAILABLE "), told);
        assertTrue(told.contains("linux-x86_64: " + folder.resolve("cache")) && told.contains("file too short"), told);
    }

    @Test
    void aPlatformWithoutALibraryIsNamed() throws Exception {
        assertEquals(
                "LIBRARY_UNAVAILABLE Reprise has no native library for the platform linux-riscv64; there is one for "
                        + "linux-x86_64.",
                FirstLoad.tell(List.of("-Dos.arch=riscv64")));
    }
}
