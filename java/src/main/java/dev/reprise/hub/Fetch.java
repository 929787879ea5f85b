package dev.reprise.hub;

import dev.reprise.CancelledException;
import dev.reprise.HuggingFace;
import dev.reprise.ModelNotFoundException;
import dev.reprise.hub.Failures.Unavailable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Pattern;

/** Brings a model into the cache, as far as it is not there. */
public final class Fetch {
    private static final Pattern FULL_COMMIT = Pattern.compile("[0-9a-f]{40}");

    private final Source source;
    private final Limits limits;
    private final HuggingFace.Progress listener;
    private final Consumer<String> warnings;
    private final HubCache cache;

    /**
     * A model to bring.
     *
     * @param listener may be null
     * @param warnings told what goes on without an exception
     */
    public Fetch(Source source, HuggingFace.Progress listener, Consumer<String> warnings) {
        this(source, listener, warnings, Limits.DEFAULTS);
    }

    Fetch(Source source, HuggingFace.Progress listener, Consumer<String> warnings, Limits limits) {
        this.source = source;
        this.warnings = warnings;
        this.limits = limits;
        this.listener = listener;
        cache = new HubCache(source.cache(), source.repository());
    }

    /**
     * The model's file, of a split one the first, with all others beside it.
     *
     * @throws ModelNotFoundException if there is none of that name
     * @throws UncheckedIOException if it cannot be fetched, or is not what the hub says
     * @throws CancelledException if the thread is interrupted
     */
    public Path run() {
        Optional<Path> here = Optional.empty();
        try {
            if (source.offline()) {
                return inCache();
            }
            here = cached();
            if (here.isPresent() && source.file() != null && FULL_COMMIT.matcher(source.revision()).matches()) {
                // A commit does not change; but which of its models is meant depends on all that it has.
                return here.get();
            }
            return fetch(new HubClient(source, here.isPresent() ? limits.withAttempts(1) : limits));
        } catch (Unavailable e) {
            if (here.isPresent()) {
                warnings.accept("cannot ask " + source.endpoint() + " whether " + source
                        + " has changed, so what the cache has is used: " + e.getMessage());
                return here.get();
            }
            throw failed(e);
        } catch (IOException e) {
            if (Thread.currentThread().isInterrupted()) {
                throw new CancelledException("interrupted while " + source + " was fetched", e);
            }
            throw failed(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CancelledException("interrupted while " + source + " was fetched", e);
        }
    }

    private UncheckedIOException failed(IOException e) {
        return new UncheckedIOException("cannot fetch " + source + ": " + Failures.reason(e), e);
    }

    /** The model's file, if all of the model is in the cache; nothing is asked of the hub. */
    public Optional<Path> cached() {
        try {
            return Optional.of(inCache());
        } catch (ModelNotFoundException e) {
            return Optional.empty();
        }
    }

    private Path inCache() {
        String commit = cache.commitOf(source.revision());
        String where = source.repository() + " in the cache " + source.cache();
        if (commit == null) {
            throw new ModelNotFoundException("the cache " + source.cache() + " has nothing of " + source.repository()
                    + (source.revision().equals("main") ? "" : " at revision " + source.revision())
                    + ", and offline nothing is fetched");
        }
        List<String> names = cache.files(commit);
        List<String> files = source.file() == null
                ? ModelChoice.byQuant(where, names, source.quant())
                : ModelChoice.partsOf(source.file());
        for (String file : files) {
            if (!names.contains(file)) {
                throw new ModelNotFoundException(where + " has no " + file + ", and offline nothing is fetched");
            }
        }
        return cache.pointer(commit, files.get(0));
    }

    private Path fetch(HubClient client) throws IOException, InterruptedException {
        List<RemoteFile> files = describe(client);
        long total = files.stream().mapToLong(RemoteFile::size).sum();
        Meter meter = new Meter(listener, total);
        for (RemoteFile file : files) {
            ensure(client, file, meter);
        }
        RemoteFile first = files.get(0);
        // Last, so that what is known offline is whole.
        cache.setRef(source.revision(), first.commit());
        return cache.pointer(first.commit(), first.name());
    }

    private List<RemoteFile> describe(HubClient client) throws IOException, InterruptedException {
        String revision = source.revision();
        List<String> names;
        if (source.file() != null) {
            names = ModelChoice.partsOf(source.file());
        } else {
            HubClient.Listing listing = client.listing();
            names = ModelChoice.byQuant(source.endpoint() + "/" + source.repository(), listing.names(),
                    source.quant());
            for (String name : names) {
                requireSafe(name);
            }
            revision = listing.commit() != null ? listing.commit() : revision;
        }
        List<RemoteFile> files = new ArrayList<>();
        for (String name : names) {
            RemoteFile file = client.describe(revision, name);
            if (!files.isEmpty() && !file.commit().equals(files.get(0).commit())) {
                throw new Failures.Contradiction("the parts of the model are of two commits");
            }
            files.add(file);
            revision = file.commit();
        }
        return files;
    }

    private static void requireSafe(String name) throws Failures.Contradiction {
        try {
            Names.requirePath("the name of the model's file", name);
        } catch (IllegalArgumentException e) {
            throw new Failures.Contradiction(e.getMessage());
        }
    }

    private void ensure(HubClient client, RemoteFile file, Meter meter) throws IOException, InterruptedException {
        if (cache.holds(file)) {
            meter.begin(file.name(), file.size());
            return;
        }
        meter.begin(file.name(), 0);
        BlobLock lock = BlobLock.acquire(cache.lock(file.etag()), () -> meter.tell(0));
        try {
            // Somebody else may have fetched it meanwhile.
            if (cache.holds(file)) {
                meter.begin(file.name(), file.size());
                return;
            } else if (cache.holdsBlob(file)) {
                meter.begin(file.name(), file.size());
            } else {
                download(client, file, meter);
            }
            cache.link(file);
        } finally {
            lock.close();
        }
    }

    private void download(HubClient client, RemoteFile file, Meter meter) throws IOException, InterruptedException {
        try (Partial partial = Partial.open(cache.blobs(), file)) {
            long before = partial.coverage().bytes();
            meter.begin(file.name(), before);
            String hash = new Download(client, file, partial, limits, meter).run();
            if (!hash.equals(file.etag()) && before > 0) {
                // What an earlier attempt left may never have reached the disk.
                partial.clear();
                meter.lost(before);
                meter.tell(before - file.size());
                hash = new Download(client, file, partial, limits, meter).run();
            }
            if (!hash.equals(file.etag())) {
                partial.delete();
                throw new Failures.Contradiction("the content of " + file.name() + " is another one than the hub says: "
                        + Hasher.algorithm(file) + " " + hash + ", not " + file.etag() + ". It was deleted");
            }
            partial.moveTo(cache.blob(file.etag()));
        }
    }
}
