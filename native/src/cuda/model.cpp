#include "cuda/model.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/log.h"
#include "cuda/attention.h"
#include "cuda/check.h"
#include "cuda/converted_rows.h"
#include "cuda/device.h"
#include "cuda/engine.h"
#include "cuda/forward.h"
#include "cuda/fused_project.h"
#include "cuda/linear.h"
#include "cuda/rope.h"
#include "cuda/sampler.h"
#include "gguf/fingerprint.h"

namespace reprise {

namespace cuda {

namespace {

constexpr uint32_t DEFAULT_CHUNK = 1024;
constexpr uint32_t MAX_CHUNK = 16384;  // blocks in a launch's second dimension, with room to spare

std::string gib(uint64_t bytes) { return format("%.2f GiB", static_cast<double>(bytes) / (uint64_t{1} << 30)); }

/// Bytes that may still be taken, and in words what limits them.
struct Room {
    uint64_t bytes;
    std::string words;
};
Room room_left(int device, uint64_t limit, uint64_t used) {
    const uint64_t free_bytes = device_memory().free_bytes;
    if (limit != 0 && (limit > used ? limit - used : 0) < free_bytes) {
        const uint64_t left = limit > used ? limit - used : 0;
        return {left, gib(left) + " are left of the limit of " + gib(limit)};
    }
    return {free_bytes, gib(free_bytes) + " are free on CUDA device " + std::to_string(device)};
}

}  // namespace

SessionShape session_shape(const EngineOptions& options, bool exact) {
    const uint32_t chunk = std::min(options.prefill_chunk != 0 ? options.prefill_chunk : DEFAULT_CHUNK, MAX_CHUNK);
    return {options.context_length, std::min(chunk, options.context_length), exact ? TensorType::F32 : options.kv_type,
            exact, !exact && !options.unfused};
}

SessionSizes session_sizes(const Plan& plan, const SessionShape& shape) {
    const SequenceBuffers::Sizes sequence = SequenceBuffers::sizes(plan.hparams, shape);
    return {sequence.kv_cache, sequence.rest + Workspace::bytes(workspace_buffers(plan, shape))};
}

CudaModel::CudaModel(const GgufFile& file, std::unique_ptr<Plan> plan, const LoadOptions& options)
    : device_(options.device_index),
      exact_(options.exact),
      limit_(options.device_memory_limit),
      plan_(std::move(plan)) {
    use_device(device_);
    load_linear_kernels();
    load_fused_kernels();
    load_rope_kernels();
    load_attention_kernels();
    load_sampler_kernels();
    int major = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device_), "reading the compute capability");
    if (const std::string slower = missing_overlap(major, programmatic_launches()); !slower.empty())
        log(REPRISE_LOG_WARN, "%s", slower.c_str());
    if (const std::string wider = conversions(*plan_, exact_); !wider.empty())
        log(exact_ ? REPRISE_LOG_INFO : REPRISE_LOG_WARN, "%s", wider.c_str());

    const uint64_t needed = DeviceWeights::bytes(*plan_, exact_);
    const Room room = room_left(device_, limit_, 0);
    if (needed > room.bytes) {
        EngineOptions usual = {};
        usual.context_length = plan_->hparams.default_session_context();
        usual.kv_type = TensorType::F16;
        const SessionSizes session = session_sizes(*plan_, session_shape(usual, exact_));
        fail(REPRISE_OUT_OF_DEVICE_MEMORY,
             "the model's weights take %s of device memory, and a session of %u tokens %s for the KV cache and %s for "
             "the workspace, but %s: "
             "choose a smaller model or a smaller quantisation, or run on the CPU",
             gib(needed).c_str(), usual.context_length, gib(session.kv_cache).c_str(), gib(session.workspace).c_str(),
             room.words.c_str());
    }
    weights_ = std::make_unique<DeviceWeights>(*plan_, exact_);
    used_ = needed;
    weights_->upload(*plan_, options.progress, options.progress_user);
    fingerprint_ = reprise::fingerprint(file);  // of which all has just been read; it may be closed after this
}

CudaModel::~CudaModel() = default;

CudaModel::Reservation::Reservation(CudaModel& model, const SessionSizes& sizes, uint32_t context_length)
    : model_(model), bytes_(sizes.kv_cache + sizes.workspace) {
    const std::lock_guard lock(model.account_mutex_);
    const Room room = room_left(model.device_, model.limit_, model.used_);
    if (bytes_ > room.bytes) {
        fail(REPRISE_OUT_OF_DEVICE_MEMORY,
             "a session of %u tokens needs %s of device memory (%s for the KV cache, %s for the workspace; the weights "
             "hold %s), but %s: "
             "choose a shorter context or close other sessions",
             context_length, gib(bytes_).c_str(), gib(sizes.kv_cache).c_str(), gib(sizes.workspace).c_str(),
             gib(model.weights().bytes()).c_str(), room.words.c_str());
    }
    model_.used_ += bytes_;
}

CudaModel::Reservation::~Reservation() {
    const std::lock_guard lock(model_.account_mutex_);
    model_.used_ -= bytes_;
}

void CudaModel::log_fallbacks(const CudaProgram& program) {
    const std::lock_guard lock(logged_mutex_);
    for (const std::string& sentence : program.fallbacks()) {
        if (logged_.insert(sentence).second) log(REPRISE_LOG_WARN, "%s", sentence.c_str());
    }
}

std::unique_ptr<Engine> CudaModel::open(const EngineOptions& options) {
    use_device(device_);
    return std::make_unique<CudaEngine>(std::static_pointer_cast<CudaModel>(shared_from_this()), options);
}

void CudaModel::describe(reprise_model_info& info) const {
    info.device = REPRISE_DEVICE_CUDA;
    info.device_index = device_;
    info.threads = 1;  // the caller's own
    info.memory_bytes = weights_->bytes();
    const Target target = Target::any(exact_, !exact_, TensorType::F16, plan_->hparams.default_session_context());
    info.bytes_per_token = lower(*plan_, target, 1).weight_bytes(1);
}

struct CudaModel::Drawing {
    explicit Drawing(uint32_t n_vocab)
        : memory(SamplerBuffers::bytes_with_state(n_vocab), "the sampler"),
          pinned(SamplerBuffers::pinned_bytes(n_vocab, n_vocab), "the sampler"),
          logits(n_vocab * sizeof(float), "the sampler"),
          bias(n_vocab * sizeof(float), "the sampler"),
          counts(n_vocab * sizeof(int32_t), "the sampler") {
        Carver carver(memory.data());
        buffers.carve_with_state(carver, n_vocab);
        Carver carver_of_pinned(pinned.as<uint8_t>());
        buffers.carve_pinned(carver_of_pinned, n_vocab, n_vocab);
        buffers.queue = nullptr;
        check(cudaMemsetAsync(memory.data(), 0, memory.size(), stream), "clearing the sampler");
    }
    DeviceBuffer memory;
    PinnedBuffer pinned, logits, bias, counts;
    SamplerBuffers buffers = {};
    Stream stream;
    uint32_t n_drawn = 0;
};

reprise_token CudaModel::sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                                const reprise_sampling& sampling, uint32_t position, std::span<reprise_token> top) {
    use_device(device_);
    const uint32_t n_vocab = plan_->hparams.n_vocab;
    std::lock_guard<std::mutex> lock(drawing_mutex_);
    if (drawing_ == nullptr) drawing_ = std::make_unique<Drawing>(n_vocab);
    Drawing& d = *drawing_;
    std::memcpy(d.logits.as<float>(), logits.data(), logits.size_bytes());
    if (counts != nullptr) {
        std::memcpy(d.counts.as<int32_t>(), counts, n_vocab * sizeof(int32_t));
    } else {
        std::fill_n(d.counts.as<int32_t>(), n_vocab, 0);
    }
    check(
        cudaMemcpyAsync(d.buffers.logits, d.logits.as<float>(), logits.size_bytes(), cudaMemcpyHostToDevice, d.stream),
        "copying logits");
    check(cudaMemcpyAsync(d.buffers.counts, d.counts.as<int32_t>(), n_vocab * sizeof(int32_t), cudaMemcpyHostToDevice,
                          d.stream),
          "copying counts");
    if (sampling.n_logit_bias > 0) {
        fill_bias({d.bias.as<float>(), n_vocab}, sampling);
        check(cudaMemcpyAsync(d.buffers.bias, d.bias.as<float>(), d.bias.size(), cudaMemcpyHostToDevice, d.stream),
              "copying biases");
    }
    const bool has_host_part = !host.mask.empty() || !host.penalties.empty();
    if (has_host_part) write_host_input(d.buffers, host);
    place(d.buffers.state, 0, position, 0, 0, d.stream);
    set_sampling(d.buffers, sampling, d.stream);
    cuda::sample(d.buffers, sampling_kind(sampling, n_vocab, has_host_part), 0, d.stream);
    d.stream.synchronize("drawing a token");
    const uint32_t slot = d.n_drawn++ % RING_SIZE;
    const RingEntry& entry = d.buffers.ring[slot];
    std::copy_n(d.buffers.alternatives + slot * REPRISE_MAX_TOP_LOGPROBS, top.size(), top.begin());
    const uint32_t number = RingEntry::number_of(entry.number_and_token);
    if (number != d.n_drawn)
        fail(REPRISE_INTERNAL, "the device drew token %u, token %u was asked for", number, d.n_drawn);
    return {RingEntry::token_of(entry.number_and_token),
            sampling.logprobs != 0 ? entry.logprob : std::numeric_limits<float>::quiet_NaN()};
}

}  // namespace cuda

std::shared_ptr<DeviceModel> load_cuda(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan,
                                       const LoadOptions& options) {
    const std::string reason = cuda_unavailable_reason(options.device_index);
    if (!reason.empty()) fail(REPRISE_DEVICE_UNAVAILABLE, "%s", reason.c_str());
    return std::make_shared<cuda::CudaModel>(*file, std::move(plan), options);
}

reprise_memory memory_cuda(const Plan& plan, const LoadOptions& options, const EngineOptions& engine) {
    const auto session = cuda::session_sizes(plan, cuda::session_shape(engine, options.exact));
    return {cuda::DeviceWeights::bytes(plan, options.exact), session.kv_cache, session.workspace};
}

}  // namespace reprise
