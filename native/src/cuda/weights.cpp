#include "cuda/weights.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/converted_rows.h"
#include "cuda/rope.h"

namespace reprise::cuda {

namespace {

constexpr size_t STAGE_BYTES = size_t{16} << 20;
constexpr int STAGES = 3;  // one filled by the host, one on its way, one being repacked

bool is_vector(const Weight& w) { return w.rows == 1; }

/// Buffers in a ring through which a file's bytes reach the device.
class Staging {
  public:
    explicit Staging(size_t bytes) : bytes_(bytes) {
        for (Slot& slot : slots_) {
            slot.host = PinnedBuffer(bytes, "staging for the upload of weights");
            slot.device = DeviceBuffer(bytes, "staging for the upload of weights");
        }
    }
    // Events and buffers are the stream's until it has run dry.
    ~Staging() { cudaStreamSynchronize(stream_); }

    size_t slot_bytes() const { return bytes_; }
    cudaStream_t stream() const { return stream_; }

    /// Copies to a slot; the result is valid in stream order until done() was called STAGES times.
    const void* bring(const uint8_t* from, size_t n) {
        Slot& slot = slots_[next_];
        slot.free.wait();
        std::memcpy(slot.host.as<uint8_t>(), from, n);
        check(cudaMemcpyAsync(slot.device.data(), slot.host.as<uint8_t>(), n, cudaMemcpyHostToDevice, stream_),
              "uploading weights");
        return slot.device.data();
    }
    void done() {
        slots_[next_].free.record(stream_);
        next_ = (next_ + 1) % STAGES;
    }
    void finish() { stream_.synchronize("uploading weights"); }

  private:
    struct Slot {
        PinnedBuffer host;
        DeviceBuffer device;
        Event free;
    };
    size_t bytes_;
    Slot slots_[STAGES];
    int next_ = 0;
    Stream stream_;
};

/// Reports how far the upload is and passes a cancellation on.
class Progress {
  public:
    Progress(reprise_progress_fn callback, void* user, uint64_t total)
        : callback_(callback), user_(user), total_(total) {}
    void add(uint64_t bytes) {
        done_ += bytes;
        if (callback_ != nullptr && callback_(user_, done_, total_) != 0) {
            fail(REPRISE_CANCELLED, "loading the model was cancelled by its progress callback");
        }
    }

  private:
    reprise_progress_fn callback_;
    void* user_;
    uint64_t done_ = 0, total_;
};

}  // namespace

DeviceMatrix matrix_shape(const Weight& w, bool exact) {
    DeviceMatrix matrix;
    matrix.type = device_type(w.type, exact);
    matrix.rows = static_cast<uint32_t>(w.rows);
    matrix.cols = static_cast<uint32_t>(w.cols);
    matrix.n_bytes = device_bytes(matrix.type, matrix.rows, matrix.cols);
    return matrix;
}

size_t DeviceWeights::bytes(const Plan& plan, bool exact) {
    Carver carver(nullptr);
    for (const auto& w : plan.weights)
        carver.take<uint8_t>(is_vector(*w) ? w->n_bytes() : matrix_shape(*w, exact).n_bytes);
    carver.take<double>(plan.rope.inv_freq.size());
    return carver.used();
}

DeviceWeights::DeviceWeights(const Plan& plan, bool exact)
    : memory_(bytes(plan, exact), "the model's weights"),
      matrices_(plan.weights.size()),
      vectors_(plan.weights.size()) {
    Carver carver(memory_.data());
    for (const auto& w : plan.weights) {
        if (is_vector(*w)) {
            vectors_[w->id] = carver.take<float>(w->cols);
        } else {
            DeviceMatrix& matrix = matrices_[w->id] = matrix_shape(*w, exact);
            matrix.data = carver.take<uint8_t>(matrix.n_bytes);
        }
    }
    rope_turns_ = carver.take<double>(plan.rope.inv_freq.size());
}

void DeviceWeights::upload(const Plan& plan, reprise_progress_fn progress_fn, void* progress_user) {
    size_t widest = 0;
    for (const auto& w : plan.weights) {
        // A row may be uploaded as float32, the widest there is.
        widest = std::max({widest, w->row_bytes(), is_vector(*w) ? 0 : w->cols * sizeof(float)});
    }
    Staging staging(std::max(STAGE_BYTES, widest * TILE_ROWS));
    Progress progress(progress_fn, progress_user, plan.weight_bytes());
    const auto copy_vector = [&](void* to, const void* from, size_t n) {
        const void* source = staging.bring(static_cast<const uint8_t*>(from), n);
        check(cudaMemcpyAsync(to, source, n, cudaMemcpyDeviceToDevice, staging.stream()), "uploading weights");
        staging.done();
    };
    for (const auto& w : plan.weights) {
        if (is_vector(*w)) {
            copy_vector(vectors_[w->id], w->data.data(), w->n_bytes());
            progress.add(w->n_bytes());
            continue;
        }
        const DeviceMatrix& matrix = matrices_[w->id];
        begin_repack(matrix, staging.stream());
        const TensorType type = upload_type(w->type, matrix.type == TensorType::F32);
        ConvertedRows source(*w, type);
        const size_t row_bytes = source.row_bytes();
        const auto rows_per_piece = static_cast<uint32_t>(staging.slot_bytes() / row_bytes / TILE_ROWS * TILE_ROWS);
        for (uint32_t row = 0; row < matrix.rows; row += rows_per_piece) {
            const uint32_t n = std::min(rows_per_piece, matrix.rows - row);
            const void* blocks = staging.bring(source.rows(row, n), n * row_bytes);
            repack_rows(matrix, type, row, n, blocks, staging.stream());
            staging.done();
            progress.add(n * w->row_bytes());
        }
    }
    const std::vector<double> turns = cuda::rope_turns(plan.rope);
    copy_vector(rope_turns_, turns.data(), turns.size() * sizeof(double));
    staging.finish();
}

}  // namespace reprise::cuda
