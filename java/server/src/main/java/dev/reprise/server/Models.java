package dev.reprise.server;

import dev.reprise.Model;
import dev.reprise.OutOfDeviceMemoryException;
import dev.reprise.OutOfHostMemoryException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.logging.Level;
import java.util.logging.Logger;

/** The models that are served: loaded where they are asked for first; the least recently used makes room. */
final class Models implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger("dev.reprise.server");

    private enum State {
        ABSENT,
        LOADING,
        LOADED
    }

    /** A model that has a name, loaded or not. */
    final class Entry {
        private final String name;
        private final Callable<Model> loader;
        private State state = State.ABSENT;
        private Model model;
        private int attempts;
        /** The last attempt to load it that failed; 0: none did. */
        private int failedAttempt;
        private Throwable failure;
        private int users;
        private long lastUse;

        private Entry(String name, Callable<Model> loader) {
            this.name = name;
            this.loader = loader;
        }

        String name() {
            return name;
        }

        boolean isLoaded() {
            synchronized (Models.this) {
                return state == State.LOADED;
            }
        }
    }

    /** The use of a model, which stays loaded until it is closed. */
    final class Lease implements AutoCloseable {
        private final Entry entry;
        private boolean closed;

        private Lease(Entry entry) {
            this.entry = entry;
        }

        Model model() {
            return entry.model;
        }

        @Override
        public void close() {
            synchronized (Models.this) {
                if (!closed) {
                    closed = true;
                    entry.users--;
                    Models.this.notifyAll();
                }
            }
        }
    }

    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private final int mostLoaded;
    private long uses;
    private boolean closed;

    /**
     * The models of these names.
     *
     * @param mostLoaded how many may be loaded at once
     */
    Models(Map<String, Callable<Model>> loaders, int mostLoaded) {
        this.mostLoaded = mostLoaded;
        loaders.forEach((name, loader) -> entries.put(name, new Entry(name, loader)));
    }

    List<Entry> entries() {
        return new ArrayList<>(entries.values());
    }

    /** The model of this name; of no name, the first. */
    Entry find(String name) {
        if (name == null) {
            return entries.values().iterator().next();
        }
        Entry entry = entries.get(name);
        if (entry == null) {
            throw ApiException.notFound("model_not_found", "model",
                    "there is no model " + name + " here: " + String.join(", ", entries.keySet())
                            + (entries.size() == 1 ? " is" : " are"));
        }
        return entry;
    }

    /**
     * Takes a model into use. Loads it if it is not loaded; waits where another request loads it, or all models that
     * would have to make room are in use.
     *
     * @throws InterruptedException if the thread is interrupted while it waits; what is being loaded goes on
     * @throws ApiException if it cannot be loaded
     */
    Lease use(Entry entry) throws InterruptedException {
        synchronized (this) {
            int attempt = Integer.MAX_VALUE;  // the one that this request waits for
            while (true) {
                if (closed) {
                    throw ApiException.of(503, "server_error", "stopping", "the server is stopping");
                }
                if (entry.state == State.LOADED) {
                    entry.users++;
                    entry.lastUse = ++uses;
                    return new Lease(entry);
                }
                if (entry.failedAttempt >= attempt) {
                    throw ApiException.of(500, "server_error", "model_not_loaded",
                            "the model " + entry.name + " cannot be loaded: " + entry.failure.getMessage(),
                            entry.failure);
                }
                if (entry.state == State.ABSENT && hasRoom()) {
                    load(entry);
                }
                if (entry.state == State.LOADING) {
                    attempt = Math.min(attempt, entry.attempts);
                }
                wait();
            }
        }
    }

    /** Whether another model may be loaded, after one that nobody uses was unloaded if need be. */
    private boolean hasRoom() {
        long present = entries.values().stream().filter(entry -> entry.state != State.ABSENT).count();
        return present < mostLoaded || unloadOne();
    }

    private boolean unloadOne() {
        Entry oldest = null;
        for (Entry entry : entries.values()) {
            if (entry.state == State.LOADED && entry.users == 0
                    && (oldest == null || entry.lastUse < oldest.lastUse)) {
                oldest = entry;
            }
        }
        if (oldest == null) {
            return false;
        }
        LOG.info("unloading " + oldest.name);
        oldest.state = State.ABSENT;
        oldest.model.close();
        oldest.model = null;
        return true;
    }

    /** In a thread of its own: a client that goes away must not stop what others wait for. */
    private void load(Entry entry) {
        entry.state = State.LOADING;
        entry.attempts++;
        Thread thread = new Thread(() -> {
            Model model = null;
            Throwable failure = null;
            try {
                model = loadMakingRoom(entry);
            } catch (Throwable e) {
                failure = e;
            }
            loaded(entry, model, failure);
        }, "reprise-load");
        thread.setDaemon(true);
        thread.start();
    }

    private Model loadMakingRoom(Entry entry) throws Exception {
        while (true) {
            try {
                return entry.loader.call();
            } catch (OutOfDeviceMemoryException | OutOfHostMemoryException e) {
                synchronized (this) {
                    if (!unloadOne()) {
                        throw e;
                    }
                }
            }
        }
    }

    private synchronized void loaded(Entry entry, Model model, Throwable failure) {
        if (failure != null) {
            LOG.log(Level.WARNING, "the model " + entry.name + " cannot be loaded: " + failure.getMessage());
        }
        entry.model = model;
        entry.failure = failure;
        entry.failedAttempt = failure == null ? entry.failedAttempt : entry.attempts;
        entry.state = model == null ? State.ABSENT : State.LOADED;
        if (closed && model != null) {
            model.close();
        }
        notifyAll();
    }

    /** Unloads all, whoever uses them. */
    @Override
    public void close() {
        List<Model> loaded;
        synchronized (this) {
            closed = true;
            notifyAll();
            loaded = entries.values().stream().map(entry -> entry.model).filter(Objects::nonNull).toList();
        }
        // Not under the lock: it waits for whoever uses a model, who may have to give back the use of it.
        loaded.forEach(Model::close);
    }
}
