package dev.reprise.hub;

import dev.reprise.hub.Failures.Unwritable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The folder of a repository in the cache that huggingface_hub and llama.cpp use too (<a
 * href="https://huggingface.co/docs/huggingface_hub/guides/manage-cache">layout</a>):
 *
 * <pre>
 * models--OWNER--REPO/refs/main                  holds COMMIT
 * models--OWNER--REPO/snapshots/COMMIT/FILE  ->  ../../blobs/ETAG
 * models--OWNER--REPO/blobs/ETAG                 the content
 * </pre>
 */
final class HubCache {
    private static final Pattern COMMIT = Pattern.compile("[0-9A-Za-z_-][0-9A-Za-z._-]{0,63}");
    private static final int MAX_DEPTH = 16;

    private final Path root;
    private final String folderName;
    private final Path folder;

    HubCache(Path root, String repository) {
        this.root = root;
        folderName = "models--" + repository.replace("/", "--");
        folder = root.resolve(folderName);
    }

    Path blobs() {
        return folder.resolve("blobs");
    }

    Path blob(String etag) {
        return blobs().resolve(etag);
    }

    /** Where huggingface_hub has its lock for a blob. */
    Path lock(String etag) {
        return root.resolve(".locks").resolve(folderName).resolve(etag + ".lock");
    }

    /** Where a file of a commit is, or would be. */
    Path pointer(String commit, String name) {
        Path snapshot = snapshot(commit);
        Path pointer = snapshot.resolve(Names.requirePath("the file name", name)).normalize();
        if (!pointer.startsWith(snapshot)) {
            throw new IllegalArgumentException("the file name '" + name + "' leads out of its folder");
        }
        return pointer;
    }

    static boolean isCommit(String text) {
        return COMMIT.matcher(text).matches();
    }

    private Path snapshot(String commit) {
        if (!isCommit(commit)) {
            throw new IllegalArgumentException("'" + Names.printable(commit) + "' is no commit");
        }
        return folder.resolve("snapshots").resolve(commit);
    }

    /** The commit that a revision was when it was fetched last; null if it never was. */
    String commitOf(String revision) {
        Path ref = ref(revision);
        try {
            if (Files.isRegularFile(ref)) {
                String commit = Files.readString(ref).strip();
                return isCommit(commit) ? commit : null;
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + ref + ": " + Failures.reason(e), e);
        }
        return isCommit(revision) && Files.isDirectory(snapshot(revision)) ? revision : null;
    }

    private Path ref(String revision) {
        return folder.resolve("refs").resolve(Names.requirePath("the revision", revision));
    }

    /** The files of a commit that are here, by their paths in the repository. */
    List<String> files(String commit) {
        Path snapshot = snapshot(commit);
        if (!Files.isDirectory(snapshot)) {
            return List.of();
        }
        List<String> names = new ArrayList<>();
        try (Stream<Path> all = Files.find(snapshot, MAX_DEPTH, (path, attributes) -> Files.isRegularFile(path))) {
            all.forEach(path -> names.add(snapshot.relativize(path).toString().replace('\\', '/')));
        } catch (IOException | UncheckedIOException e) {
            IOException cause = e instanceof IOException io ? io : ((UncheckedIOException) e).getCause();
            throw new UncheckedIOException("cannot read " + snapshot + ": " + Failures.reason(cause), cause);
        }
        return names;
    }

    /** Whether a file is here, as long as it should be, and not another one of that name. */
    boolean holds(RemoteFile file) throws IOException {
        Path pointer = pointer(file.commit(), file.name());
        if (!Files.isRegularFile(pointer) || Files.size(pointer) != file.size()) {
            return false;
        }
        return !Files.isSymbolicLink(pointer)
                || Files.readSymbolicLink(pointer).getFileName().toString().equals(file.etag());
    }

    boolean holdsBlob(RemoteFile file) throws IOException {
        Path blob = blob(file.etag());
        return Files.isRegularFile(blob) && Files.size(blob) == file.size();
    }

    /**
     * Gives a blob its name. By a relative symbolic link, so that the cache can be moved; else, on file systems without
     * them, by a hard link, or by a copy.
     */
    void link(RemoteFile file) throws IOException {
        Path pointer = pointer(file.commit(), file.name());
        Path blob = blob(file.etag());
        try {
            Files.createDirectories(pointer.getParent());
            Path fresh = pointer.resolveSibling("." + UUID.randomUUID().toString().substring(0, 8) + ".link");
            try {
                linkOrCopy(fresh, blob, pointer.getParent().relativize(blob));
                Files.move(fresh, pointer, StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(fresh);
            }
        } catch (IOException e) {
            throw new Unwritable("cannot write " + pointer + ": " + Failures.reason(e), e);
        }
    }

    private static void linkOrCopy(Path link, Path blob, Path relative) throws IOException {
        try {
            Files.createSymbolicLink(link, relative);
        } catch (FileAlreadyExistsException e) {
            throw e;
        } catch (UnsupportedOperationException | IOException noSymbolicLinks) {
            try {
                Files.createLink(link, blob.toRealPath());
            } catch (UnsupportedOperationException | IOException noHardLinks) {
                noHardLinks.addSuppressed(noSymbolicLinks);
                try {
                    Files.copy(blob, link);
                } catch (IOException e) {
                    e.addSuppressed(noHardLinks);
                    throw e;
                }
            }
        }
    }

    /** Remembers which commit a revision is. */
    void setRef(String revision, String commit) throws IOException {
        if (revision.equals(commit) || commit.equals(commitOf(revision))) {
            return;
        }
        Path ref = ref(revision);
        try {
            Files.createDirectories(ref.getParent());
            replace(ref, commit.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new Unwritable("cannot write " + ref + ": " + Failures.reason(e), e);
        }
    }

    /** Writes a small file so that a reader sees the old content or the new one. */
    static void replace(Path file, byte[] content) throws IOException {
        String suffix = "." + UUID.randomUUID().toString().substring(0, 8) + ".tmp";
        Path fresh = file.resolveSibling(file.getFileName() + suffix);
        try {
            Files.write(fresh, content);
            Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(fresh);
        }
    }
}
