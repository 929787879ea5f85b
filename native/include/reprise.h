/*
 * Reprise: GGUF language models on NVIDIA GPUs and CPUs. Token ids in, token ids and logits out.
 *
 * This header is the only door to the native library. Conventions:
 *
 *  - Objects are 64-bit handles resolved through a registry. A null, closed, stale or foreign handle is
 *    REPRISE_INVALID_HANDLE, never a crash. 0 is never a valid handle.
 *  - Every call returns a reprise_status. After anything but REPRISE_OK, reprise_last_error() on the same thread
 *    tells what was wrong (which file, tensor, option or handle) and what to do.
 *  - No call throws, aborts, exits or prints. Log lines go to the callback of reprise_set_log_callback().
 *  - Callbacks run on the thread that made the call, before it returns. No native thread calls back.
 *  - Pointers handed out (names, metadata) stay valid until the handle they came from is closed.
 *  - All functions may be called from any thread. A session serves one caller at a time: a second concurrent call
 *    gets REPRISE_BUSY. reprise_session_cancel() and the close functions are legal at any time.
 */
#ifndef REPRISE_H
#define REPRISE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REPRISE_API __attribute__((visibility("default")))
#else
#define REPRISE_API
#endif

/** Number of this interface; reprise_abi_version() returns the number the library was built with. */
#define REPRISE_ABI_VERSION 2

typedef uint64_t reprise_handle;

/** What a call came to. The values are stable. */
typedef enum reprise_status {
    REPRISE_OK = 0,
    REPRISE_INVALID_ARGUMENT = 1,   /* an argument outside its documented range */
    REPRISE_INVALID_HANDLE = 2,     /* null, closed, stale, or of another kind */
    REPRISE_BUSY = 3,               /* the session is in another thread's hands */
    REPRISE_CANCELLED = 4,          /* reprise_session_cancel(), a progress callback, or a close from another thread */
    REPRISE_IO = 5,                 /* the file cannot be opened or read */
    REPRISE_MODEL_FORMAT = 6,       /* not GGUF, truncated, inconsistent */
    REPRISE_UNSUPPORTED_MODEL = 7,  /* an architecture, tensor type or option of the model that is not supported */
    REPRISE_OUT_OF_MEMORY = 8,      /* host memory */
    REPRISE_DEVICE_UNAVAILABLE = 9, /* no driver, no device, device too old, library without CUDA */
    REPRISE_OUT_OF_DEVICE_MEMORY = 10,
    REPRISE_CONTEXT_OVERFLOW = 11, /* more tokens than the session's context holds */
    REPRISE_ENGINE_FAILED = 12,    /* the device reported an unrecoverable error; every later call says so */
    REPRISE_INTERNAL = 13,         /* a defect in Reprise */
    REPRISE_TEMPLATE = 14,         /* a chat template is malformed, raised an error of its own or did too much */
    REPRISE_UNSUPPORTED = 15,      /* a part that this library was built without, or a keyword of a constraint that is
                                    * not enforced */
    REPRISE_SESSION_FORMAT = 16,   /* no saved session, truncated, damaged, or saved by a newer version */
    REPRISE_SESSION_MISMATCH = 17, /* a saved session of another model, or of the other arithmetic */
    REPRISE_NAN_LOGITS = 18        /* every logit is NaN or -infinity: damaged weights, or values beyond the range of
                                    * the arithmetic */
} reprise_status;

/* ---- library ------------------------------------------------------------------------------------------------- */

/** The interface number of the loaded library; compare with REPRISE_ABI_VERSION. */
REPRISE_API int32_t reprise_abi_version(void);

/**
 * Copies the message of this thread's last failed call, UTF-8 and NUL-terminated, cut to capacity.
 * Returns the length of the whole message in bytes without the NUL; 0 if no call has failed. A message has up to 8192.
 */
REPRISE_API size_t reprise_last_error(char* buffer, size_t capacity);
/** The line, from 1, that the message of this thread's last failed call is about: of a template or a grammar. 0: none.
 */
REPRISE_API int32_t reprise_last_error_line(void);

/** A stable upper-case name for a status, e.g. "MODEL_FORMAT". Static storage. */
REPRISE_API const char* reprise_status_name(int32_t status);

/**
 * Describes the library and the devices as a JSON object: {"version", "cpu": {"isa", "threads",
 * "skipped": [...]}, "cuda": {"compiled", "available", "reason", "driver", "devices": [{"index", "name",
 * "compute_capability", "memory_bytes", "free_bytes", "usable", "reason"}]}}. Copies like reprise_last_error(); *length
 * is the whole length.
 */
REPRISE_API reprise_status reprise_describe(char* buffer, size_t capacity, size_t* length);

typedef enum reprise_log_level { REPRISE_LOG_DEBUG = 0, REPRISE_LOG_INFO = 1, REPRISE_LOG_WARN = 2 } reprise_log_level;

/** level is a reprise_log_level; message is UTF-8, without a line end, valid during the call. */
typedef void (*reprise_log_fn)(void* user, int32_t level, const char* message);

/** Sends log lines to callback (null: nowhere, the default). */
REPRISE_API reprise_status reprise_set_log_callback(reprise_log_fn callback, void* user);

/* ---- GGUF files ---------------------------------------------------------------------------------------------- */

typedef struct reprise_gguf_info {
    uint32_t version;      /* 2 or 3 */
    uint32_t n_files;      /* parts of a split model; 1 otherwise */
    uint64_t n_metadata;   /* key-value pairs of the first file */
    uint64_t n_tensors;    /* over all files */
    uint64_t alignment;    /* bytes, of the first file */
    uint64_t n_parameters; /* elements of all tensors */
    uint64_t tensor_bytes; /* bytes of all tensors */
    uint64_t file_bytes;   /* bytes of all files */
} reprise_gguf_info;

typedef struct reprise_tensor_info {
    const char* name; /* NUL-terminated UTF-8, owned by the file handle */
    int32_t type;     /* GGUF tensor type number; reprise_tensor_type_name() */
    uint32_t n_dims;  /* 1 to 4 */
    uint64_t dims[4]; /* elements; dims[0] is contiguous; 1 beyond n_dims */
    uint64_t n_bytes;
} reprise_tensor_info;

/**
 * Opens a GGUF file (version 2 or 3, little-endian) and checks its header; opening part 00001 of a split model opens
 * all parts. path is UTF-8. With use_mmap the file stays memory-mapped: truncating a mapped file kills any process
 * that reads it afterwards (SIGBUS), so pass 0 where other programs may rewrite the file. Needs no supported
 * architecture.
 */
REPRISE_API reprise_status reprise_gguf_open(const char* path, int32_t use_mmap, reprise_handle* gguf);
/** Closes the file handle. Models loaded from it are not affected. */
REPRISE_API reprise_status reprise_gguf_close(reprise_handle gguf);
REPRISE_API reprise_status reprise_gguf_get_info(reprise_handle gguf, reprise_gguf_info* info);
/**
 * All metadata in one call: *data points at the n_metadata key-value pairs of the first file in GGUF encoding
 * ({u64 length, key bytes, u32 value type, value} little-endian, no alignment), every length already checked against
 * *size bytes.
 */
REPRISE_API reprise_status reprise_gguf_metadata(reprise_handle gguf, const uint8_t** data, uint64_t* size);
REPRISE_API reprise_status reprise_gguf_tensor(reprise_handle gguf, uint64_t index, reprise_tensor_info* info);
/** "Q4_K" for 12 and so on; "type N" never: an unknown number gives null. Static storage. */
REPRISE_API const char* reprise_tensor_type_name(int32_t type);

/* ---- models -------------------------------------------------------------------------------------------------- */

typedef enum reprise_device {
    REPRISE_DEVICE_AUTO = 0, /* CUDA where it can be used, else the CPU; the log says why not CUDA */
    REPRISE_DEVICE_CPU = 1,
    REPRISE_DEVICE_CUDA = 2 /* REPRISE_DEVICE_UNAVAILABLE if it cannot be used */
} reprise_device;

/** Called while weights load. Return 0 to go on, anything else to cancel (REPRISE_CANCELLED). */
typedef int32_t (*reprise_progress_fn)(void* user, uint64_t done_bytes, uint64_t total_bytes);

typedef struct reprise_model_options {
    int32_t device;               /* reprise_device */
    int32_t device_index;         /* which CUDA device, 0 the first */
    int32_t threads;              /* CPU threads; 0: as many as the process may use (affinity, cgroup limits) */
    int32_t exact;                /* 1: reference arithmetic, weights, activations and KV in float32; slow */
    uint64_t device_memory_limit; /* bytes of device memory that may be used; 0: what is free */
    uint64_t kv_memory; /* on the CPU: bytes for the keys and values of all sessions of the model together, which take
                         * them as they grow; 0: three quarters of the memory that is available when it is loaded.
                         * Where it is used up the newest of the sessions at work is told (REPRISE_OUT_OF_MEMORY), with
                         * its history as before; older ones wait for it, as long as it works */
    reprise_progress_fn progress; /* may be null */
    void* progress_user;
} reprise_model_options;

typedef struct reprise_model_info {
    int32_t device; /* REPRISE_DEVICE_CPU or REPRISE_DEVICE_CUDA: what is used */
    int32_t device_index;
    int32_t n_vocab;
    int32_t n_embd;
    int32_t n_layers;
    int32_t n_heads;
    int32_t n_kv_heads;
    int32_t head_dim;
    int32_t context_length; /* the context the model was trained for */
    int32_t threads;
    uint64_t n_parameters;
    uint64_t weight_bytes;    /* as stored in the file, without the padding */
    uint64_t bytes_per_token; /* weight bytes one decoded token reads: all but the embedding rows not looked up */
    uint64_t memory_bytes;    /* memory that the weights take on the device */
} reprise_model_info;

/** Bytes needed to run a model, by purpose. */
typedef struct reprise_memory {
    uint64_t weights;
    uint64_t kv_cache;
    uint64_t workspace;
} reprise_memory;

/** Fills in the defaults: device AUTO, all threads, fast arithmetic, no limit, no callback. */
REPRISE_API void reprise_model_options_default(reprise_model_options* options);
/** Loads the weights of an open file. options may be null. The file handle may be closed afterwards. */
REPRISE_API reprise_status reprise_model_load(reprise_handle gguf, const reprise_model_options* options,
                                              reprise_handle* model);
/** Cancels and closes the model's sessions, then frees the weights. Returns when no thread is inside any of them. */
REPRISE_API reprise_status reprise_model_close(reprise_handle model);
REPRISE_API reprise_status reprise_model_get_info(reprise_handle model, reprise_model_info* info);

/* ---- sessions ------------------------------------------------------------------------------------------------ */

/** The number format of a session's KV cache. A model loaded with exact = 1 keeps float32 whatever is asked for. */
typedef enum reprise_kv_type {
    REPRISE_KV_DEFAULT = -1, /* F16; of a restored session, what it was saved with */
    REPRISE_KV_F16 = 0,      /* 2 bytes a value */
    REPRISE_KV_F32 = 1,      /* 4 bytes a value */
    REPRISE_KV_Q8_0 = 2      /* 8-bit integers in blocks of 32 with one float16 factor: 34 bytes for 32 values, 53 % of
                                F16's memory, each value in steps of 1/127 of its block's largest; the model's head_dim
                                must be a multiple of 32, else REPRISE_INVALID_ARGUMENT */
} reprise_kv_type;

/** How the CUDA backend runs a decode step. The CPU backend has no graphs and takes any mode. */
typedef enum reprise_graph_mode {
    REPRISE_GRAPH_AUTO = 0,  /* graphs; where a capture fails, eager for that step, counted and logged */
    REPRISE_GRAPH_EAGER = 1, /* the same kernels, launched one by one */
    REPRISE_GRAPH_ALWAYS = 2 /* graphs; where a capture fails, REPRISE_ENGINE_FAILED */
} reprise_graph_mode;

typedef struct reprise_session_options {
    int32_t context_length; /* tokens, at most the model's and, if that is shorter, its sliding window; 0: as many, up
                             * to 4096; of a restored session, what it had */
    int32_t kv_type;        /* reprise_kv_type */
    int32_t graph_mode;     /* reprise_graph_mode */
    int32_t prefill_chunk;  /* tokens evaluated at once; 0: the backend's choice; of a restored session, what it had */
    int32_t unfused;        /* 1: decode on CUDA with the kernels that the fused ones are tested against; slower */
    int32_t prefix_sharing; /* 1, the default: a prompt that begins as one that another session of the model has
                             * evaluated, or this one before a rewind, takes over its keys and values, in whole blocks
                             * of 128 tokens. Results are the same to the last bit, only sooner, which others may
                             * notice. 0: the session neither finds nor is found. Without effect on CUDA */
    int32_t priority; /* -10 to 10, 0 the default: where a step of the model has no room for what all sessions want
                       * evaluated, the higher goes first; who was passed over by four steps counts as one higher, so
                       * that nobody waits for ever. Without effect on CUDA */
} reprise_session_options;

/** What is added to the logit of a token. */
typedef struct reprise_logit_bias {
    int32_t id;
    float bias; /* finite, or -INFINITY: the token is never drawn */
} reprise_logit_bias;

/** The most alternatives that a token can have. */
#define REPRISE_MAX_TOP_LOGPROBS 20

/**
 * How the next token is drawn from logits l. In order:
 *
 *  1. constraint: l = -infinity for every token that it does not allow next. It is in its start state when the
 *     generation starts and sees the generated tokens alone.
 *  2. logit_bias: l += bias.
 *  3. Penalties over the tokens of the session's whole history: l = l > 0 ? l / repeat_penalty : l * repeat_penalty;
 *     l -= count * frequency_penalty + presence_penalty.
 *  4. DRY, "don't repeat yourself" (p-e-w, text-generation-webui, pull request 5677). Let n be the length of the
 *     longest run of tokens that ends the history, has no breaker in it, and stands somewhere before with this token
 *     behind it, all within the last dry_last_n tokens. If n >= dry_allowed_length and the token is no breaker:
 *     l -= min(dry_multiplier * dry_base ^ (n - dry_allowed_length), 1e30).
 *  5. top_k, top_p and min_p on softmax(l).
 *  6. XTC, "exclude top choices" (p-e-w, text-generation-webui, pull request 6335). With probability
 *     xtc_probability, of the tokens that are left and have a probability of at least xtc_threshold under softmax(l)
 *     over those that are left, all but the least likely are dropped (the highest id among equals stays).
 *  7. A draw from softmax(l / temperature) over what is left.
 *
 * Temperature 0 takes the largest l after 4 and has no use for 5 and 6. The random numbers are words of Philox4x32-10
 * of (seed, position), so that every backend draws the same from the same logits. What the pointers point to is read
 * before the call returns. The tokens that DRY and constraints look at are known on the host alone: a session that uses
 * one of them delivers one token per call.
 */
typedef struct reprise_sampling {
    float temperature;       /* 0: greedy, the largest logit, the lowest id among equals */
    int32_t top_k;           /* 0: off */
    float top_p;             /* in (0, 1]; 1: off */
    float min_p;             /* in [0, 1], relative to the likeliest token; 0: off; 1: that one alone, as greedy */
    float repeat_penalty;    /* 1: off; > 0 */
    float presence_penalty;  /* 0: off */
    float frequency_penalty; /* 0: off */
    int32_t logprobs;        /* 1: tokens carry their log-probability under softmax of the unmodified logits */
    uint64_t seed;
    int32_t n_top_logprobs; /* 0 to REPRISE_MAX_TOP_LOGPROBS: alternatives of every token, which reprise_session_top()
                             * gives; more than 0 implies logprobs */
    float xtc_probability;  /* in [0, 1]; 0: off */
    float xtc_threshold;    /* in (0, 1]; above 0.5 no two tokens reach it */
    float dry_multiplier;   /* in [0, 1000]; 0: off */
    float dry_base;         /* in [1, 1000] */
    int32_t dry_allowed_length;  /* at least 1: shorter repetitions are free */
    int32_t dry_last_n;          /* tokens at the end of the history that are looked at; -1: all; 0: off */
    const int32_t* dry_breakers; /* [n_dry_breakers]: ids that end a run; may be null if there are none */
    size_t n_dry_breakers;
    const reprise_logit_bias* logit_bias; /* [n_logit_bias], an id at most once; may be null if there are none */
    size_t n_logit_bias;
    reprise_handle constraint; /* 0: none */
} reprise_sampling;

/** Why a generation ended. */
typedef enum reprise_finish {
    REPRISE_FINISH_NONE = 0, /* it goes on */
    REPRISE_FINISH_END = 1,  /* an end token, which is the last token delivered */
    REPRISE_FINISH_MAX_TOKENS = 2,
    REPRISE_FINISH_CONTEXT_FULL = 3,
    REPRISE_FINISH_CANCELLED = 4
} reprise_finish;

typedef struct reprise_token {
    int32_t id;
    float logprob; /* NaN unless asked for */
} reprise_token;

/** Counts since the session was opened. Times in nanoseconds, measured on the host. */
typedef struct reprise_statistics {
    uint64_t prefill_tokens; /* evaluated */
    uint64_t prefix_tokens;  /* of prompts that were not evaluated, since another session of the model had, or this one
                              * before a rewind (prefix_sharing) */
    uint64_t prefill_ns;     /* of prompts, waiting for another session that evaluates the same beginning included */
    uint64_t generated_tokens;    /* delivered by reprise_session_next() */
    uint64_t decode_ns;           /* from the first of them to the last, waiting included */
    uint64_t tokens_from_prefill; /* sampled from prefill logits */
    uint64_t eager_steps;         /* decode steps launched kernel by kernel (every step on the CPU) */
    uint64_t graph_replays;       /* decode steps that were one graph launch */
    uint64_t discarded_steps;     /* launched ahead and thrown away by a rewind */
    uint64_t captures;            /* graphs captured and instantiated */
    uint64_t reinstantiations;    /* graphs instantiated again because something they hold changed: 0, since nothing
                                   * that a graph holds changes while its session is open */
    uint64_t capture_failures;    /* captures that something invalidated */
    uint64_t graph_nodes;         /* nodes of the graph last replayed */
    uint64_t kernels_per_token;   /* kernel nodes of that graph, or launches of an eager step; 0 on the CPU */
    uint64_t submit_ns;           /* host time spent launching decode steps */
    uint64_t memory_kv;           /* bytes, of the whole context; on the CPU taken as it fills, 128 tokens at a time */
    uint64_t memory_workspace;    /* bytes; on the CPU most of them are shared by the model's sessions */
    uint64_t model_steps;         /* steps computed for all sessions of the model together; 0 on CUDA, where every step
                                   * is of one session */
    uint64_t model_rows;          /* tokens evaluated by those steps */
    uint64_t model_kv;            /* bytes of keys and values that those sessions hold now; 0 on CUDA */
    uint64_t model_kv_kept;       /* bytes that none of them holds, kept for prompts that begin alike: at most a quarter
                                   * of kv_memory, of its default what one session takes; 0 on CUDA */
    uint64_t fallback_launches;   /* of a decode step: those that a slower kernel than the step's usual one computes,
                                   * for want of one that takes their weights; the log names them; 0 on the CPU */
} reprise_statistics;

REPRISE_API void reprise_session_options_default(reprise_session_options* options);
REPRISE_API void reprise_sampling_default(reprise_sampling* sampling);

/** options may be null. */
REPRISE_API reprise_status reprise_session_open(reprise_handle model, const reprise_session_options* options,
                                                reprise_handle* session);
/** Cancels what runs in the session, waits for it to leave, frees the session. */
REPRISE_API reprise_status reprise_session_close(reprise_handle session);
/**
 * Asks the running call or the generation in progress to stop: reprise_session_evaluate() returns REPRISE_CANCELLED
 * with position unchanged, reprise_session_next() delivers REPRISE_FINISH_CANCELLED. Without one, nothing happens.
 */
REPRISE_API reprise_status reprise_session_cancel(reprise_handle session);

/** Number of tokens in the session's history: prompts and generated tokens. */
REPRISE_API reprise_status reprise_session_position(reprise_handle session, int32_t* position);
/** Context length of the session in tokens. */
REPRISE_API reprise_status reprise_session_context_length(reprise_handle session, int32_t* context_length);
/** Copies the ids of the history, at most capacity of them; *count is how many there are. */
REPRISE_API reprise_status reprise_session_history(reprise_handle session, int32_t* ids, size_t capacity,
                                                   size_t* count);
/** Forgets every token from position on, at most the current position. Ends a generation in progress. */
REPRISE_API reprise_status reprise_session_rewind(reprise_handle session, int32_t position);

/** Appends n tokens to the history and evaluates them. On error the history is as before. */
REPRISE_API reprise_status reprise_session_evaluate(reprise_handle session, const int32_t* ids, size_t n);
/** Copies the logits after the last token of the history: n must be the vocabulary size, the history not empty. */
REPRISE_API reprise_status reprise_session_logits(reprise_handle session, float* logits, size_t n);

/**
 * Starts a generation: appends n prompt tokens (n may be 0 if the history is not empty), evaluates what is not yet
 * evaluated and arms the sampler. Tokens then come from reprise_session_next(), at most max_tokens of them (0: what
 * the context holds). An id of end_ids ends it. A generation in progress is ended first. On error the history is as
 * before. sampling may be null: the defaults.
 */
REPRISE_API reprise_status reprise_session_generate(reprise_handle session, const int32_t* ids, size_t n,
                                                    const reprise_sampling* sampling, int32_t max_tokens,
                                                    const int32_t* end_ids, size_t n_end_ids);
/**
 * Waits for the next token and delivers it and those already decoded behind it, at most capacity. Delivered tokens
 * are part of the history. *finish other than REPRISE_FINISH_NONE says that no further token follows these.
 * REPRISE_NAN_LOGITS where every logit is NaN or -infinity: no token can be drawn, and the generation is over.
 * REPRISE_INVALID_ARGUMENT where no token of the vocabulary continues what the constraint demands, or logit_bias bans
 * all that do: the generation is over too, with the tokens before delivered. With a constraint one token comes per
 * call.
 */
REPRISE_API reprise_status reprise_session_next(reprise_handle session, reprise_token* tokens, size_t capacity,
                                                size_t* count, int32_t* finish);
/**
 * The alternatives of the tokens that the last reprise_session_next() delivered: for each of them the n_top_logprobs
 * likeliest tokens under softmax of the unmodified logits, the likeliest first, the lowest id among equals. Copies them
 * row by row, at most capacity of all; *count is how many there are. Where there are fewer tokens whose logit is more
 * than -infinity, a row ends with ids of -1.
 */
REPRISE_API reprise_status reprise_session_top(reprise_handle session, reprise_token* top, size_t capacity,
                                               size_t* count);
/**
 * *complete is 0 if the text of the generation that was started last is not yet all that its constraint demands,
 * because it goes on or was cut (by max_tokens, a full context, a cancel); else 1, as without a constraint.
 */
REPRISE_API reprise_status reprise_session_complete(reprise_handle session, int32_t* complete);
/** Ends the generation in progress, if any: steps launched ahead are discarded, delivered tokens stay. */
REPRISE_API reprise_status reprise_session_end(reprise_handle session);
REPRISE_API reprise_status reprise_session_statistics(reprise_handle session, reprise_statistics* statistics);

/*
 * Copies of a session, in another one or in a file. A copy has the first position tokens of the history (-1: all), what
 * the KV cache holds of them and the logits behind them if they are there: what the session would have after
 * reprise_session_end() and a rewind to position. Nothing is evaluated for it or with it, and a generation in progress
 * goes on, with the tokens delivered so far in the copy. A draw depends on nothing but history, seed and position, so a
 * copy goes on as the session would: with the same calls, on the same device or instruction set, with the same options,
 * its tokens and logits are the same to the last bit.
 */

/**
 * Opens a session that is a copy, with the same options. Both go on independently, whichever is closed first. Its
 * memory counts like that of any session: where it is not to be had, REPRISE_OUT_OF_MEMORY or
 * REPRISE_OUT_OF_DEVICE_MEMORY. REPRISE_INVALID_ARGUMENT if position is behind the end of the history.
 */
REPRISE_API reprise_status reprise_session_fork(reprise_handle session, int32_t position, reprise_handle* fork);

/**
 * Writes a copy to a file (UTF-8 path), readable and writable by its owner alone. The file takes the place of what is
 * at path when it is complete and on the disk: after an error (REPRISE_IO: the reason of the system, a full disk too),
 * or if the process dies, path has what it had before. While it is written the session takes no other calls;
 * reprise_session_cancel() does not stop it, closing the session does (REPRISE_CANCELLED). Where path is a symbolic
 * link, the file that it leads to is replaced.
 *
 * The file begins with n_preface bytes that are the caller's own, which no hash covers; preface may be null if there
 * are none.
 */
REPRISE_API reprise_status reprise_session_save(reprise_handle session, int32_t position, const char* path,
                                                const uint8_t* preface, size_t n_preface);

/**
 * Opens a session with what a file has behind its first offset bytes, the preface. options may be null: the defaults,
 * with which it is opened as it was saved. A context_length must hold the history and kv_type be what was saved, else
 * REPRISE_INVALID_ARGUMENT.
 *
 * The file is checked to its last byte before there is a session. REPRISE_IO: it cannot be read.
 * REPRISE_SESSION_FORMAT: it is none, damaged, truncated, or of a newer version. REPRISE_SESSION_MISMATCH: it was saved
 * with another model file, told by a hash of its metadata, tensor names, types and shapes and of samples of every
 * tensor's data; or one of both models was loaded with exact = 1. A session may be restored on another device than it
 * was saved on: keys and values are the same there, what comes behind them follows the arithmetic of the new device.
 */
REPRISE_API reprise_status reprise_session_restore(reprise_handle model, const char* path, uint64_t offset,
                                                   const reprise_session_options* options, reprise_handle* session);

/** How reprise_session_score() feeds tokens. */
typedef enum reprise_score_mode {
    REPRISE_SCORE_BATCH = 0, /* prefill */
    REPRISE_SCORE_STEP = 1,  /* one decode step per token, launched eagerly */
    REPRISE_SCORE_GRAPH = 2  /* one replay of the decode graph per token; the CPU has none: as STEP */
} reprise_score_mode;

/**
 * Appends n tokens and writes the logits after each: logits has n rows of vocabulary size. For checking a backend;
 * generation does not need it. Null, for measuring: the logits that decode steps leave are brought to the host's memory
 * and dropped there; which ones mode BATCH computes is the backend's matter.
 */
REPRISE_API reprise_status reprise_session_score(reprise_handle session, const int32_t* ids, size_t n, int32_t mode,
                                                 float* logits);

/**
 * Draws from given logits exactly as a session does whose history is history: logits has n_vocab values, position is
 * that of the token to draw, and model decides the device that draws. mask has (n_vocab + 31) / 32 words, of which bit
 * i % 32 of word i / 32 is set where token i may be drawn; where it is null sampling's constraint takes its place, in
 * its start state. top has n_top_logprobs elements, may be null, and gets the alternatives. REPRISE_INVALID_ARGUMENT
 * where every logit is NaN or -infinity.
 */
REPRISE_API reprise_status reprise_sample(reprise_handle model, const float* logits, size_t n_vocab,
                                          const int32_t* history, size_t n_history, const uint32_t* mask,
                                          const reprise_sampling* sampling, int32_t position, reprise_token* token,
                                          reprise_token* top);

/** What a session of this model would need, without opening it. options may be null. */
REPRISE_API reprise_status reprise_gguf_memory(reprise_handle gguf, const reprise_model_options* model_options,
                                               const reprise_session_options* session_options, reprise_memory* memory);

/* ---- chat templates ------------------------------------------------------------------------------------------- */

/**
 * Parses a chat template: Jinja as Python's jinja2 renders it in the environment of transformers (trim_blocks,
 * lstrip_blocks, loop controls, tojson as json.dumps without ensure_ascii, raise_exception, strftime_now, generation
 * blocks). source is UTF-8, at most 1 MiB. special holds the texts of the vocabulary's special tokens one after the
 * other, text i from special_offsets[i] to special_offsets[i + 1], n_special of them; n_special may be 0, and then
 * renderings say nothing about origins. REPRISE_TEMPLATE where the source is malformed; reprise_last_error_line() has
 * the line. REPRISE_UNSUPPORTED in a library built without native/text. Any number of threads may render at once.
 */
REPRISE_API reprise_status reprise_template_open(const uint8_t* source, size_t n, const uint8_t* special,
                                                 const uint64_t* special_offsets, size_t n_special,
                                                 reprise_handle* chat_template);
REPRISE_API reprise_status reprise_template_close(reprise_handle chat_template);
/**
 * Renders a template with the members of a JSON object as variables (messages, tools, add_generation_prompt, bos_token
 * and what else the template takes); variables is UTF-8, at most 16 MiB. now is the time that strftime_now() formats,
 * in seconds of local time since 1970-01-01T00:00; null: the machine's. A variable strftime_now that is a string is
 * what the function of that name returns, whatever the format. REPRISE_TEMPLATE with the template's own message where
 * it raises one, where an operation fails as it fails in Python, and where it does too much: output is limited to 32
 * MiB and work in proportion to what is rendered. REPRISE_INVALID_ARGUMENT for malformed JSON.
 */
REPRISE_API reprise_status reprise_template_render(reprise_handle chat_template, const uint8_t* variables, size_t n,
                                                   const int64_t* now, reprise_handle* rendering);
REPRISE_API reprise_status reprise_rendering_close(reprise_handle rendering);
/** The text, UTF-8, *n bytes, owned by the rendering. */
REPRISE_API reprise_status reprise_rendering_text(reprise_handle rendering, const uint8_t** text, uint64_t* n);
/**
 * Where the text came from the variables and holds, or could complete, the text of a special token: *n_ranges pairs of
 * a first byte and the byte behind the last, in ascending order and apart from each other, owned by the rendering. A
 * special token may be recognised only where its text does not overlap any of them. bos_token, eos_token and other
 * variables whose whole value is the text of a special token count as the template's unless they lie in messages, tools
 * or documents.
 */
REPRISE_API reprise_status reprise_rendering_origins(reprise_handle rendering, const uint64_t** ranges,
                                                     uint64_t* n_ranges);

/* ---- constraints ---------------------------------------------------------------------------------------------- */

/** A flag of a token: it stands for no text. Its bytes are its name, by which a grammar can ask for it. */
#define REPRISE_TOKEN_SPECIAL 1

/**
 * Sets up a model's tokens for constraints, once for all of them (half a second for 150,000 tokens). Token i of n_vocab
 * is the bytes from offsets[i] to offsets[i + 1]: those of the text that it stands for, so that the text of a sequence
 * is its tokens' bytes one after the other; for a token with the flag REPRISE_TOKEN_SPECIAL its name. A token without
 * bytes is never allowed but by its id. end_ids, at least one, end a text. REPRISE_UNSUPPORTED in a library built
 * without native/text.
 */
REPRISE_API reprise_status reprise_vocabulary_open(const uint8_t* bytes, const uint64_t* offsets, const uint8_t* flags,
                                                   int32_t n_vocab, const int32_t* end_ids, size_t n_end_ids,
                                                   reprise_handle* vocabulary);
/** Constraints opened with it are not affected. */
REPRISE_API reprise_status reprise_vocabulary_close(reprise_handle vocabulary);

/**
 * What the source of a constraint is. UTF-8, at most 1 MiB.
 *
 * JSON schemas: draft 2020-12, or as $schema says. Enforced are type, enum, const, anyOf, allOf, oneOf whose
 * alternatives cannot overlap, $ref within the schema, $defs; properties, required, additionalProperties,
 * patternProperties that cannot overlap, minProperties and maxProperties where all keys are known; items, prefixItems,
 * minItems, maxItems; minLength, maxLength, pattern (Rust's regex syntax, without look-around), format (date, time,
 * date-time, duration, email, hostname, ipv4, ipv6, uuid, uri); minimum, maximum, exclusiveMinimum, exclusiveMaximum,
 * multipleOf. Numbers of a schema are integers up to 2^53 - 1 or have at most 15 digits; one object names at most 1000
 * keys, and of all alternatives together at most 1000 may come first. Annotations ($comment, $schema, contentEncoding,
 * contentMediaType, contentSchema, default, deprecated, description, examples, readOnly, title, writeOnly and what
 * begins with x-) are ignored; every other keyword, an unknown one too, is REPRISE_UNSUPPORTED and named with its
 * place. Properties come in the order of the schema. Of formats, and of ., \s, \W and \D in patterns, that part is
 * allowed on which validators agree (no leap second, no punycode). Strings and keys are written without \u escapes, so
 * that a control character without an escape of its own cannot occur.
 *
 * Lark: rules `name: item item | item`, lower case for rules and upper case for terminals, the rule start first of all;
 * "text", /regex/, ( ), ?, *, +, {m,n}, comments after //, %ignore /regex/, %regex { }. A terminal, a text or a regex
 * is a lexeme, of which the longest is taken: the text of one must not run into the next. Special tokens of the
 * vocabulary are <name> where their name is of that form, and <[id]>, <[id,id-id]>, <[^id]>; special tokens never match
 * by text.
 * `%json { schema }` stands for a JSON value; what is said above of schemas holds, and its key "x-guidance":
 * {"whitespace_flexible": false} makes it compact, "key_separator": ": " and "item_separator": ", " separate it.
 * `%lark { … }` nests a grammar. With either of them %ignore is REPRISE_UNSUPPORTED. llguidance's docs/syntax.md has
 * all of it.
 *
 * GBNF: rules `name ::= …` from root on; "text", [class], ., ( ), |, *, +, ?, {m}, {m,}, {m,n}, #comments, <token>,
 * <[id]>, !<token>.
 */
typedef enum reprise_constraint_kind {
    REPRISE_CONSTRAINT_JSON_SCHEMA = 0,
    REPRISE_CONSTRAINT_REGEX =
        1, /* what the whole text matches, in the syntax of Rust's crate regex, without look-around */
    REPRISE_CONSTRAINT_LARK = 2,
    REPRISE_CONSTRAINT_GBNF = 3
} reprise_constraint_kind;

typedef struct reprise_constraint_options {
    int32_t
        json_whitespace; /* of a JSON schema: 1 allows white space between tokens of JSON; 0, the default: compact */
} reprise_constraint_options;

REPRISE_API void reprise_constraint_options_default(reprise_constraint_options* options);
/**
 * Compiles a constraint, checks it and tries it with a few tokens: nothing that is not supported, malformed or too
 * large is found out later, but what is too complex further on (patterns that are held to one another for long). A mask
 * takes less than 50 ms; compiling may take a third of a second for sources of 100 KB. options may be null. May be used
 * by any number of generations at once.
 */
REPRISE_API reprise_status reprise_constraint_open(reprise_handle vocabulary, int32_t kind, const uint8_t* source,
                                                   size_t n, const reprise_constraint_options* options,
                                                   reprise_handle* constraint);
/** Generations that it constrains go on. */
REPRISE_API reprise_status reprise_constraint_close(reprise_handle constraint);

/** How far a sequence of tokens brings a constraint. */
typedef enum reprise_constraint_state {
    REPRISE_CONSTRAINT_INCOMPLETE = 0, /* more must follow */
    REPRISE_CONSTRAINT_COMPLETE = 1,   /* an end token may follow, or more text */
    REPRISE_CONSTRAINT_ENDED = 2       /* an end token was taken, or nothing else may follow */
} reprise_constraint_state;

/**
 * Walks n tokens from the start: *n_allowed is how many of them, from the first, the constraint allows, and *state (a
 * reprise_constraint_state) where they lead. mask may be null; else it gets which tokens may come after them: bit i %
 * 32 of mask[i / 32] is token i, and n_words is (n_vocab + 31) / 32. For validators and tests; generation does not need
 * it.
 */
REPRISE_API reprise_status reprise_constraint_check(reprise_handle constraint, const int32_t* ids, size_t n,
                                                    size_t* n_allowed, int32_t* state, uint32_t* mask, size_t n_words);

#ifdef __cplusplus
}
#endif

#endif /* REPRISE_H */
