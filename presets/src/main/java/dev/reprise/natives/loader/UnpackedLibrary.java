package dev.reprise.natives.loader;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Set;
import java.util.UUID;

/**
 * A library from a jar as a file in a private folder: {@code HASH/libjnireprise.so}, where HASH is the SHA-256 of the
 * content, so that any number of versions lie beside each other. Any number of processes may use a folder at once.
 */
final class UnpackedLibrary {
    private static final String FILE = System.mapLibraryName("jnireprise");
    private static final String HASH = "[0-9a-f]".repeat(64);
    private static final int BUFFER_BYTES = 1 << 16;
    /** No unpacking takes so long: what is older and has a name that nobody knows was left by a process that died. */
    private static final Duration LEFT_BEHIND = Duration.ofHours(1);
    /** Versions that nobody has loaded for so long are removed. */
    private static final Duration UNUSED = Duration.ofDays(30);

    private final Path folder;
    private final URL resource;

    /**
     * Nothing is read or written yet.
     *
     * @param folder a private one
     * @param resource the library in its jar
     */
    UnpackedLibrary(Path folder, URL resource) {
        this.folder = folder;
        this.resource = resource;
    }

    /** The file with the library's content: one that is there and has it, byte for byte, or a new one. */
    Path file() throws IOException {
        try (DirectoryStream<Path> versions = Files.newDirectoryStream(folder, HASH)) {
            for (Path version : versions) {
                Path file = version.resolve(FILE);
                if (hasTheContent(file)) {
                    noteUse(file);
                    return file;
                }
            }
        }
        Path unfinished = newName(".tmp");
        try {
            String hash = HexFormat.of().formatHex(write(unfinished));
            Path file = PrivateFolder.within(folder, hash).resolve(FILE);
            return Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(unfinished);
        }
    }

    /** A file of the same content that nothing else uses. The caller removes it. */
    Path copy() throws IOException {
        Path copy = newName(".so");
        try {
            write(copy);
        } catch (IOException e) {
            Files.deleteIfExists(copy);
            throw e;
        }
        return copy;
    }

    /** Removes what dead processes left, and versions that are not used any more. */
    static void tidy(Path folder) throws IOException {
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder)) {
            for (Path entry : entries) {
                if (entry.getFileName().toString().matches(HASH)) {
                    if (isOlder(entry.resolve(FILE), UNUSED)) {
                        Files.deleteIfExists(entry.resolve(FILE));
                        Files.deleteIfExists(entry);
                    }
                } else if (Files.isRegularFile(entry, LinkOption.NOFOLLOW_LINKS) && isOlder(entry, LEFT_BEHIND)) {
                    Files.deleteIfExists(entry);
                }
            }
        }
    }

    /** For {@link #tidy}. */
    private static void noteUse(Path file) throws IOException {
        try {
            Files.setLastModifiedTime(file, FileTime.from(Instant.now()));
        } catch (FileSystemException e) {
            if (Files.isWritable(file)) {
                throw e;
            }
            // On a file system that has become read-only it is as good, and nothing is tidied.
        }
    }

    private static boolean isOlder(Path file, Duration age) throws IOException {
        try {
            Instant modified = Files.getLastModifiedTime(file, LinkOption.NOFOLLOW_LINKS).toInstant();
            return modified.isBefore(Instant.now().minus(age));
        } catch (NoSuchFileException e) {
            return false;  // another process was faster
        }
    }

    private Path newName(String ending) {
        return folder.resolve("libjnireprise-" + UUID.randomUUID() + ending);
    }

    private boolean hasTheContent(Path file) throws IOException {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        byte[] ours = new byte[BUFFER_BYTES];
        byte[] theirs = new byte[BUFFER_BYTES];
        try (InputStream wanted = open();
                InputStream found = Files.newInputStream(file, LinkOption.NOFOLLOW_LINKS)) {
            while (true) {
                int n = wanted.readNBytes(ours, 0, BUFFER_BYTES);
                if (!Arrays.equals(ours, 0, n, theirs, 0, found.readNBytes(theirs, 0, BUFFER_BYTES))) {
                    return false;
                } else if (n < BUFFER_BYTES) {
                    return true;
                }
            }
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    /** Writes the library to a new file, down to the disk, and returns its hash. */
    private byte[] write(Path file) throws IOException {
        MessageDigest hash = sha256();
        try (InputStream in = open();
                FileChannel out = FileChannel.open(
                        file, Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")))) {
            byte[] buffer = new byte[BUFFER_BYTES];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                hash.update(buffer, 0, n);
                ByteBuffer part = ByteBuffer.wrap(buffer, 0, n);
                while (part.hasRemaining()) {
                    out.write(part);
                }
            }
            out.force(true);
        }
        return hash.digest();
    }

    /** Past the cache that the JVM keeps of open jars: it would go on holding a jar that was since replaced. */
    private InputStream open() throws IOException {
        URLConnection connection = resource.openConnection();
        connection.setUseCaches(false);
        return connection.getInputStream();
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java has SHA-256", e);
        }
    }
}
