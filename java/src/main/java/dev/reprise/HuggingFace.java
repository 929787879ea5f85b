package dev.reprise;

import dev.reprise.hub.Environment;
import dev.reprise.hub.Fetch;
import dev.reprise.hub.Names;
import dev.reprise.hub.Source;
import java.net.URI;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;

/**
 * A model of <a href="https://huggingface.co">Hugging Face</a>, or of another hub of its kind, by its name. Immutable.
 *
 * <pre>{@code
 * Model model = Model.load(HuggingFace.of("Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M"));
 * }</pre>
 *
 * <p>A name is {@code OWNER/REPO} or {@code OWNER/REPO:QUANT}. Without a quantisation the repository's only model is
 * meant, or else its Q4_K_M. Models are GGUF files, split ones with all their parts; image projectors ({@code mmproj})
 * are none.
 *
 * <p>What is fetched lies in Hugging Face's own cache, in its layout: what Python's huggingface_hub or llama.cpp has
 * fetched is found, and they find what this has. A file gets its name once its bytes have the SHA-256 that the hub
 * states; what is cut off goes on where it was, in another process too.
 *
 * <p>What is not set is as the environment says, by huggingface_hub's variables: the cache by {@code HF_HUB_CACHE},
 * {@code HUGGINGFACE_HUB_CACHE}, {@code HF_HOME}, {@code XDG_CACHE_HOME} or {@code ~/.cache/huggingface/hub}; the hub
 * by {@code HF_ENDPOINT}; the token by {@code HF_TOKEN} or the file {@code HF_HOME/token}; {@code HF_HUB_OFFLINE=1}.
 * The token is sent to the hub's own scheme, host and port alone. A proxy is what {@link java.net.ProxySelector} says.
 */
public final class HuggingFace {
    /** Told how far a model is fetched, on the thread that fetches it. */
    @FunctionalInterface
    public interface Progress {
        /**
         * Called at least once, several times a second while bytes arrive. What it throws cancels the fetching and
         * comes out of {@link HuggingFace#fetch(Progress)}.
         *
         * @param file the file's path in the repository
         * @param doneBytes bytes of all files of the model that are here
         * @param totalBytes bytes of all files of the model
         * @param bytesPerSecond over the last seconds; 0 while none arrive
         */
        void update(String file, long doneBytes, long totalBytes, long bytesPerSecond);
    }

    private final String repository;
    private final String quant;
    private final String file;
    private final String revision;
    private final URI endpoint;
    private final String token;
    private final boolean anonymous;
    private final Path cache;
    private final Boolean offline;

    private HuggingFace(Builder builder) {
        repository = builder.repository;
        quant = builder.quant;
        file = builder.file;
        revision = builder.revision;
        endpoint = builder.endpoint;
        token = builder.token;
        anonymous = builder.anonymous;
        cache = builder.cache;
        offline = builder.offline;
    }

    /**
     * The model of a name.
     *
     * @param name {@code OWNER/REPO} or {@code OWNER/REPO:QUANT}
     * @throws IllegalArgumentException if it is none
     */
    public static HuggingFace of(String name) {
        return builder(name).build();
    }

    /**
     * A builder that starts at {@link #of}.
     *
     * @throws IllegalArgumentException if the name is none
     */
    public static Builder builder(String name) {
        return new Builder(Objects.requireNonNull(name, "name"));
    }

    /**
     * Whether a text has the form of a name. {@code models/model.gguf} has it not: a repository whose name ends in
     * {@code .gguf} is taken for a file.
     */
    public static boolean isName(String text) {
        return Names.isName(text);
    }

    /** {@code OWNER/REPO}. */
    public String repository() {
        return repository;
    }

    /** The quantisation, where one is named. */
    public Optional<String> quant() {
        return Optional.ofNullable(quant);
    }

    /** The file, where one is named. */
    public Optional<String> file() {
        return Optional.ofNullable(file);
    }

    /** A branch, a tag or a commit. */
    public String revision() {
        return revision;
    }

    /**
     * Brings the model into the cache, as far as it is not there.
     *
     * <p>The hub is asked what the revision is now, unless that is a commit, and unless this is offline. If it does not
     * answer, what the cache has is used, with a warning of the logger {@code dev.reprise}.
     *
     * @return its file, of a split model the first one: for {@link Model#load(Path)} and {@link ModelFile#open}
     * @throws ModelNotFoundException if there is no such repository, revision, quantisation or file, no access to it,
     *     or, offline, nothing of it in the cache; the message says what there is
     * @throws java.io.UncheckedIOException if the hub does not answer what it should, in as many attempts as are made,
     *     or has the model under a name that is no safe file name, or a file cannot be written. What has been fetched
     *     is kept for the next attempt, unless its SHA-256 is wrong.
     * @throws CancelledException if the thread is interrupted
     * @throws IllegalArgumentException if the environment has an endpoint or token that is none
     */
    public Path fetch() {
        return fetch(null, true);
    }

    /** As {@link #fetch()}, and tells how far it is. */
    public Path fetch(Progress progress) {
        return fetch(Objects.requireNonNull(progress, "progress"), true);
    }

    private Path fetch(Progress progress, boolean leaves) {
        if (leaves && Carrier.isTaken()) {
            // Checksums of gigabytes take their time.
            return Carrier.leave(() -> fetch(progress, false));
        }
        return new Fetch(source(), progress, Log::warn).run();
    }

    /**
     * The model's file, if the cache has all of the model; the hub is not asked.
     *
     * @throws java.io.UncheckedIOException if the cache cannot be read
     */
    public Optional<Path> cached() {
        return new Fetch(source(), null, Log::warn).cached();
    }

    private Source source() {
        Environment environment = Environment.ofProcess();
        boolean isOffline = offline != null ? offline : environment.offline();
        return new Source(
                repository, revision, quant, file,
                endpoint != null ? endpoint : environment.endpoint(),
                token != null || anonymous || isOffline ? token : environment.token(),
                cache != null ? cache : environment.cache(),
                isOffline);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof HuggingFace that
                && repository.equals(that.repository)
                && Objects.equals(quant, that.quant)
                && Objects.equals(file, that.file)
                && revision.equals(that.revision)
                && Objects.equals(endpoint, that.endpoint)
                && Objects.equals(token, that.token)
                && anonymous == that.anonymous
                && Objects.equals(cache, that.cache)
                && Objects.equals(offline, that.offline);
    }

    @Override
    public int hashCode() {
        return Objects.hash(repository, quant, file, revision, endpoint, token, anonymous, cache, offline);
    }

    /** All but the token. */
    @Override
    public String toString() {
        return "HuggingFace[" + repository + (quant == null ? "" : ":" + quant)
                + (file == null ? "" : ", file=" + file) + ", revision=" + revision
                + (endpoint == null ? "" : ", endpoint=" + endpoint) + (cache == null ? "" : ", cache=" + cache)
                + (offline == null ? "" : ", offline=" + offline) + "]";
    }

    /** Sets what is not as the environment says. */
    public static final class Builder {
        private final String repository;
        private final String quant;
        private String file;
        private String revision = "main";
        private URI endpoint;
        private String token;
        private boolean anonymous;
        private Path cache;
        private Boolean offline;

        private Builder(String name) {
            repository = Names.repositoryOf(name);
            quant = Names.quantOf(name);
            if (!Names.isRepository(repository) || quant != null && !Names.isQuant(quant)) {
                throw new IllegalArgumentException("'" + name + "' is no name of a model: OWNER/REPO or "
                        + "OWNER/REPO:QUANT, such as Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M");
            }
        }

        /** A branch, a tag or a commit; {@code main} by default. */
        public Builder revision(String revision) {
            this.revision = Names.requirePath("the revision", Objects.requireNonNull(revision, "revision"));
            return this;
        }

        /**
         * A file by its path in the repository, whatever it holds; of a split model any part stands for all. Not with a
         * quantisation in the name.
         */
        public Builder file(String file) {
            this.file = Names.requirePath("the file name", Objects.requireNonNull(file, "file"));
            return this;
        }

        /** The address of a hub, {@code https://huggingface.co} for one. */
        public Builder endpoint(URI endpoint) {
            this.endpoint = Environment.requireEndpoint(endpoint.toString());
            return this;
        }

        /** What the hub knows its user by; null: nothing, whatever the environment says. */
        public Builder token(String token) {
            this.token = token == null ? null : Environment.requireToken("the builder", token);
            anonymous = token == null;
            return this;
        }

        /** The folder that holds the cache. */
        public Builder cache(Path cache) {
            this.cache = cache.toAbsolutePath();
            return this;
        }

        /** Whether the cache is all there is. */
        public Builder offline(boolean offline) {
            this.offline = offline;
            return this;
        }

        /**
         * The model.
         *
         * @throws IllegalArgumentException if both a quantisation and a file are named
         */
        public HuggingFace build() {
            if (quant != null && file != null) {
                throw new IllegalArgumentException(
                        "both the quantisation " + quant + " and the file " + file + " are named: one says which");
            }
            return new HuggingFace(this);
        }
    }
}
