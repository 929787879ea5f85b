package dev.reprise.hub;

import dev.reprise.hub.Coverage.Range;
import dev.reprise.hub.Failures.Unwritable;
import dev.reprise.json.Json;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A blob that is not whole yet: {@code ETAG.XXXXXXXX.incomplete}, written by one process alone, and beside it
 * {@code ETAG.XXXXXXXX.incomplete.json}, which says what is there of it. A process that ended leaves both, and the next
 * one goes on with them.
 *
 * <p>Whose it is says a lock on the file, which ends with its process. The name is used once: a file that has it still
 * when its lock was got is no finished blob.
 */
final class Partial implements AutoCloseable {
    /** The same for every copy of these classes in the process. */
    private static final String PROCESS = ProcessHandle.current().pid() + "."
            + ProcessHandle.current().info().startInstant().map(start -> start.toEpochMilli()).orElse(0L) + ".";
    private static final String OWNER = PROCESS + UUID.randomUUID();
    private static final String NOBODY = "";
    /** What this copy of the classes writes to. */
    private static final Set<Path> ACTIVE = ConcurrentHashMap.newKeySet();

    private final Path path;
    private final long size;
    private final FileChannel channel;
    private final Coverage coverage = new Coverage();
    /** Whether the file has gone: it is a blob now, or was deleted. */
    private boolean gone;

    private Partial(Path path, long size, FileChannel channel) {
        this.path = path;
        this.size = size;
        this.channel = channel;
        ACTIVE.add(path);
    }

    /** One that nobody writes to, or else a new one. Others that nobody writes to are deleted. */
    static Partial open(Path blobs, RemoteFile file) throws IOException {
        try {
            Files.createDirectories(blobs);
            Partial best = null;
            for (Path left : left(blobs, file.etag())) {
                Partial found = adopt(left, file.size());
                if (found != null) {
                    boolean better = best == null || found.coverage.bytes() > best.coverage.bytes();
                    Partial worse = better ? best : found;
                    best = better ? found : best;
                    if (worse != null) {
                        worse.delete();
                    }
                }
            }
            if (best != null) {
                best.save();
                return best;
            }
            return create(blobs, file);
        } catch (Unwritable e) {
            throw e;
        } catch (IOException e) {
            throw new Unwritable("cannot write to " + blobs + ": " + Failures.reason(e)
                    + ". HF_HUB_CACHE chooses another folder", e);
        }
    }

    private static List<Path> left(Path blobs, String etag) throws IOException {
        List<Path> left = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(blobs, etag + ".*.incomplete")) {
            files.forEach(left::add);
        }
        return left;
    }

    private static Partial create(Path blobs, RemoteFile file) throws IOException {
        String unique = UUID.randomUUID().toString().substring(0, 8);
        Path path = blobs.resolve(file.etag() + "." + unique + ".incomplete");
        FileChannel channel = FileChannel.open(
                path, StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE);
        Partial partial = new Partial(path, file.size(), channel);
        try {
            partial.lock();
            partial.save();
            return partial;
        } catch (IOException | RuntimeException e) {
            partial.delete();
            throw e;
        }
    }

    /** Null if it is another one's, or none that can be continued. */
    private static Partial adopt(Path path, long size) throws IOException {
        if (!mayBeLeft(path)) {
            return null;
        }
        FileChannel channel;
        try {
            channel = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (IOException e) {
            return null;
        }
        Partial partial = new Partial(path, size, channel);
        try {
            if (partial.lock() && Files.exists(path)) {
                // Read anew: its owner may have written to it until the lock was got.
                partial.restore(state(path));
                return partial;
            }
        } catch (IOException e) {
            // It cannot be locked, so nobody knows whose it is.
        }
        ACTIVE.remove(path);
        channel.close();
        return null;
    }

    /** Opening what another thread of this process has locked, and closing it again, would end the lock. */
    private static boolean mayBeLeft(Path path) {
        Map<?, ?> state = state(path);
        if (state == null || !(state.get("owner") instanceof String owner)) {
            return false;
        }
        return owner.equals(OWNER) ? !ACTIVE.contains(path) : !owner.startsWith(PROCESS);
    }

    private boolean lock() throws IOException {
        try {
            return channel.tryLock() != null;
        } catch (OverlappingFileLockException e) {
            return false;
        }
    }

    private static Path statePath(Path path) {
        return path.resolveSibling(path.getFileName() + ".json");
    }

    private static Path freshStatePath(Path path) {
        return path.resolveSibling(path.getFileName() + ".json.tmp");
    }

    private static Map<?, ?> state(Path path) {
        try {
            return Json.parse(Files.readString(statePath(path))) instanceof Map<?, ?> map ? map : null;
        } catch (IOException | IllegalArgumentException e) {
            // Another program's file: this one's are never without.
            return null;
        }
    }

    private void restore(Map<?, ?> state) throws IOException {
        long length = channel.size();
        if (state == null || !(state.get("size") instanceof Long saved) || saved != size
                || !(state.get("done") instanceof List<?> done)) {
            return;
        }
        for (Object range : done) {
            if (range instanceof List<?> pair && pair.size() == 2 && pair.get(0) instanceof Long start
                    && pair.get(1) instanceof Long end && start >= 0 && end <= Math.min(size, length)) {
                coverage.add(start, end);
            }
        }
    }

    Path path() {
        return path;
    }

    FileChannel channel() {
        return channel;
    }

    Coverage coverage() {
        return coverage;
    }

    /** Writes bytes to their place. Safe for use by many threads, of which none may be interrupted. */
    void write(ByteBuffer bytes, long at) throws Unwritable {
        try {
            long start = at;
            while (bytes.hasRemaining()) {
                int count = channel.write(bytes, start);
                coverage.add(start, start + count);
                start += count;
            }
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    private Unwritable unwritable(IOException e) {
        return new Unwritable("cannot write " + path + ": " + Failures.reason(e)
                + ". What is there is kept, and the next attempt goes on with it", e);
    }

    /** Says on disk what is there, after it is there. */
    void save() throws Unwritable {
        save(OWNER);
    }

    private void save(String owner) throws Unwritable {
        StringBuilder done = new StringBuilder();
        for (Range range : coverage.ranges()) {
            done.append(done.length() == 0 ? "" : ",").append('[').append(range.start()).append(',')
                    .append(range.end()).append(']');
        }
        String state = "{\"size\":" + size + ",\"owner\":\"" + owner + "\",\"done\":[" + done + "]}\n";
        Path fresh = freshStatePath(path);
        try {
            Files.write(fresh, state.getBytes(StandardCharsets.UTF_8));
            Files.move(fresh, statePath(path), StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    /** Begins anew. */
    void clear() throws IOException {
        coverage.clear();
        save();
        channel.truncate(0);
    }

    /** Makes it the blob, once its content is on disk. It is locked until then, so that nobody else adopts it. */
    void moveTo(Path blob) throws IOException {
        try {
            channel.force(true);
            Files.move(path, blob, StandardCopyOption.ATOMIC_MOVE);
            gone = true;
            deleteState();
        } catch (IOException e) {
            throw new Unwritable("cannot write " + blob + ": " + Failures.reason(e), e);
        }
    }

    /** Takes it away. */
    void delete() throws IOException {
        try (channel) {
            Files.deleteIfExists(path);
            deleteState();
            gone = true;
        } finally {
            ACTIVE.remove(path);
        }
    }

    private void deleteState() throws IOException {
        Files.deleteIfExists(freshStatePath(path));
        Files.deleteIfExists(statePath(path));
    }

    /** Leaves it to whoever comes next, unless it is a blob by now, or nothing. */
    @Override
    public void close() throws IOException {
        if (!gone && coverage.bytes() == 0) {
            delete();
        }
        try (channel) {
            if (!gone) {
                save(NOBODY);
            }
        } finally {
            ACTIVE.remove(path);
        }
    }
}
