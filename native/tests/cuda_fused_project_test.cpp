// The fused products of the decode step against the dequantised weights in double precision.
#include <algorithm>
#include <array>
#include <bit>

#include "cuda/fused_project.h"
#include "cuda/memory.h"
#include "cuda_linear_support.h"
#include "support/expect_error.h"

namespace reprise::cuda {
namespace {

using cpu::Random;
using T = TensorType;

constexpr float EPS = 1e-5f;
constexpr Slot SLOTS[] = {Slot::LARGE, Slot::SMALL};

struct Shape {
    uint32_t rows, cols;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.rows << "x" << shape.cols; }

/// Rows that do not fill a tile, columns that do not fill a brick, more and fewer tiles than multiprocessors, a part of
/// an output head, and more rows to a block than it has threads.
std::vector<Shape> shapes(TensorType type) {
    if (traits(type).block_size == 256) {
        return {{1, 256},    {7, 768},   {301, 1536},  {37, 2304},  {301, 8960},
                {70, 14336}, {5, 28672}, {3000, 1536}, {60000, 256}};
    }
    return {{1, 32}, {7, 96}, {301, 576}, {130, 896}, {301, 8960}, {70, 14336}, {5, 16416}, {3000, 1536}, {60000, 64}};
}

enum class Form { FLOAT32, BFLOAT16 };

/// The input of a product: what it is on the device, and what it says once the product has normed and rounded it.
struct Input {
    std::vector<float> x, norm;  // without norm: empty
    std::vector<double> values;
    Buffer<float> device_x, device_norm;
    Buffer<uint16_t> device_bf16;
    FusedInput fused;

    /// amplitude: of the values. type: of the matrix.
    Input(Random& random, TensorType type, uint32_t cols, bool normed, Form form = Form::FLOAT32, float amplitude = 1)
        : x(random.normals(cols)), device_x(cols), device_norm(cols), device_bf16(cols) {
        if (normed) norm = random.normals(cols);
        for (float& v : normed ? norm : x) v *= amplitude;
        for (uint32_t i = 0; i < cols && cols > 32; ++i)
            x[i] *= i < 32 ? 0.f : normed ? 3.f : 1.f;  // also a group of zeros
        if (form == Form::BFLOAT16) {
            for (float& v : x) v = bf16_to_float(float_to_bf16(v));
        }
        if (!cpu::is_float(type)) avoid_ties();

        values = normed_values();
        if (!cpu::is_float(type)) round_to_8_bits(values);
        double squares = 0;
        for (const float v : x) squares += double{v} * v;
        if (normed) {
            for (double& v : values) v /= std::sqrt(squares / cols + double{EPS});
        }

        device_x.upload(x);
        if (normed) device_norm.upload(norm);
        std::vector<uint16_t> bf16;
        for (const float v : x) bf16.push_back(float_to_bf16(v));
        device_bf16.upload(bf16);
        const void* const in = form == Form::BFLOAT16 ? static_cast<const void*>(device_bf16.get()) : device_x.get();
        fused = {in, normed ? device_norm.get() : nullptr, normed ? EPS : 0, form == Form::BFLOAT16};
    }

  private:
    /// The products in float32, as the kernel has them before it quantises; it applies the norm's factor to its
    /// results.
    std::vector<double> normed_values() const {
        std::vector<double> result(x.size());
        for (size_t i = 0; i < x.size(); ++i) result[i] = norm.empty() ? x[i] : x[i] * norm[i];
        return result;
    }
    static double largest_of_group(const std::vector<double>& v, size_t i) {
        double largest = 0;
        for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) largest = std::max(largest, std::fabs(v[j]));
        return largest;
    }
    static void round_to_8_bits(std::vector<double>& v) {
        const std::vector<double> exact = v;
        for (size_t i = 0; i < v.size(); ++i) {
            const double d = largest_of_group(exact, i) / 127;
            v[i] = d == 0 ? 0 : d * std::nearbyint(exact[i] / d);
        }
    }
    /// Moves values away from the middle between two quants, step by step towards zero: there 127 / largest decides,
    /// which is a few units in the last place off on the device, by at most 127 * 2^-21 of a step.
    void avoid_ties() {
        for (size_t i = 0; i < x.size(); ++i) {
            for (;;) {
                const std::vector<double> v = group(i);
                const double largest = largest_of_group(v, 0),
                             q = largest == 0 ? 0 : std::fabs(v[i % 32]) / largest * 127;
                if (std::fabs(q - std::floor(q) - 0.5) > 1e-3) break;
                x[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(x[i]) - 0x10000);  // a step of bfloat16
            }
        }
    }
    std::vector<double> group(size_t i) const {
        std::vector<double> v(32);
        for (size_t j = 0; j < 32; ++j) {
            const size_t at = i / 32 * 32 + j;
            v[j] = norm.empty() ? x[at] : x[at] * norm[at];
        }
        return v;
    }
};

/// Room for a product's rows, and behind them four values that nobody writes.
class Output {
  public:
    explicit Output(uint32_t rows) : buffer_(std::vector<float>(rows + 4, NAN)), rows_(rows) {}
    explicit Output(std::vector<float> values) : Output(static_cast<uint32_t>(values.size())) {
        buffer_.upload(values);
    }
    float* get() const { return buffer_.get(); }
    std::vector<float> download() const {
        std::vector<float> values = buffer_.download();
        for (uint32_t i = rows_; i < rows_ + 4; ++i)
            EXPECT_TRUE(std::isnan(values[i])) << "written behind the last row";
        values.resize(rows_);
        return values;
    }

  private:
    Buffer<float> buffer_;
    uint32_t rows_;
};

class CudaFusedProject : public ::testing::TestWithParam<TensorType> {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_linear_kernels();
        load_fused_kernels();
    }
};
std::string type_name(const ::testing::TestParamInfo<TensorType>& info) { return traits(info.param).name; }
INSTANTIATE_TEST_SUITE_P(AllTypes, CudaFusedProject, ::testing::ValuesIn(device_types()), type_name);

/// All variants of the epilogue; each launch once more at once, for the same bits.
void check_product(const TestMatrix& w, const Input& input, Slot slot, Random& random) {
    const uint32_t rows = w.matrix.rows;
    const std::vector<float> bias = random.normals(rows), residual = random.normals(rows);
    const Buffer<float> device_bias(bias), device_residual(residual);
    for (const bool biased : {false, true}) {
        for (const bool added : {false, true}) {
            SCOPED_TRACE(testing::Message() << (biased ? "bias" : "no bias") << (added ? ", residual" : ""));
            const Output out(rows), again(rows), in_place(residual);
            MatvecPart part = {&w.matrix, out.get(), biased ? device_bias.get() : nullptr,
                               added ? device_residual.get() : nullptr};
            fused_project({&part, 1}, input.fused, {}, slot, nullptr);
            part.out = again.get();
            fused_project({&part, 1}, input.fused, {}, slot, nullptr);
            const std::vector<float> values = out.download();
            EXPECT_EQ(values, again.download()) << "a second launch";
            const Reference expected =
                reference(w, input.values, biased ? bias.data() : nullptr, added ? residual.data() : nullptr);
            // The norm's factor, applied afterwards, is some three units in the last place off.
            EXPECT_LT(relative_error(values.data(), expected),
                      matvec_bound(w.matrix.type) + 4e-7 * !input.norm.empty());
            if (!added) continue;
            part.out = in_place.get();
            part.residual = in_place.get();
            fused_project({&part, 1}, input.fused, {}, slot, nullptr);
            EXPECT_EQ(values, in_place.download()) << "in place";
        }
    }
}

TEST_P(CudaFusedProject, IsTheProductWithItsInput) {
    Random random(21);
    for (const Shape& shape : shapes(GetParam())) {
        const TestMatrix w(random, GetParam(), shape.rows, shape.cols);
        for (const bool normed : {false, true}) {
            const Input input(random, GetParam(), shape.cols, normed);
            for (const Slot slot : SLOTS) {
                SCOPED_TRACE(testing::Message()
                             << shape << (normed ? ", norm" : "") << (slot == Slot::LARGE ? ", large" : ", small"));
                check_product(w, input, slot, random);
            }
        }
    }
}

/// What the down projection of quantised types reads.
TEST_P(CudaFusedProject, TakesBfloat16) {
    if (cpu::is_float(GetParam())) return;  // their feed-forward networks hand on float32
    Random random(22);
    for (const Shape& shape : shapes(GetParam())) {
        const TestMatrix w(random, GetParam(), shape.rows, shape.cols);
        for (const bool normed : {false, true}) {
            SCOPED_TRACE(testing::Message() << shape << (normed ? ", norm" : ""));
            check_product(w, Input(random, GetParam(), shape.cols, normed, Form::BFLOAT16), Slot::SMALL, random);
        }
    }
}

// ---- several matrices in one launch ----

struct Mix {
    std::array<TensorType, 3> types;
};
constexpr Mix MIXES[] = {{{T::Q4_K, T::Q4_K, T::Q6_K}}, {{T::Q6_K, T::Q4_K, T::Q4_K}}, {{T::Q6_K, T::Q6_K, T::Q6_K}},
                         {{T::Q5_K, T::Q5_K, T::Q6_K}}, {{T::Q6_K, T::Q5_K, T::Q6_K}}, {{T::Q4_K, T::Q4_K, T::Q4_K}},
                         {{T::Q8_0, T::Q8_0, T::Q8_0}}, {{T::Q4_0, T::Q4_0, T::Q4_0}}, {{T::Q4_1, T::Q4_1, T::Q4_1}},
                         {{T::F32, T::F32, T::F32}},    {{T::F16, T::F16, T::F16}},    {{T::BF16, T::BF16, T::BF16}}};

std::string mix_name(const ::testing::TestParamInfo<Mix>& info) {
    std::string name;
    for (const TensorType type : info.param.types) name += (name.empty() ? "" : "_") + std::string(traits(type).name);
    return name;
}
class CudaFusedParts : public ::testing::TestWithParam<Mix> {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_linear_kernels();
        load_fused_kernels();
    }
};
INSTANTIATE_TEST_SUITE_P(Mixes, CudaFusedParts, ::testing::ValuesIn(MIXES), mix_name);

TEST_P(CudaFusedParts, ShareAKernel) {
    Random random(23);
    const auto [q_type, k_type, v_type] = GetParam().types;
    for (const auto& [q_rows, k_rows, v_rows] :
         {std::array{1536u, 257u, 254u}, std::array{1u, 7u, 3u}, std::array{64u, 1000u, 301u}}) {
        for (const uint32_t cols : {256u, 768u, 1536u, 4096u}) {
            const TestMatrix q(random, q_type, q_rows, cols), k(random, k_type, k_rows, cols),
                v(random, v_type, v_rows, cols);
            const Input input(random, q_type, cols, true);
            const std::vector<float> bias = random.normals(k_rows), residual = random.normals(v_rows);
            const Buffer<float> device_bias(bias), device_residual(residual);
            for (const Slot slot : SLOTS) {
                for (const size_t n : {3u, 2u}) {
                    SCOPED_TRACE(testing::Message() << q_rows << " + " << k_rows << " + " << v_rows << " x " << cols
                                                    << ", " << n << " parts");
                    const Output out(q_rows + k_rows + v_rows);
                    const MatvecPart parts[] = {
                        {&q.matrix, out.get()},
                        {&k.matrix, out.get() + q_rows, device_bias.get()},
                        {&v.matrix, out.get() + q_rows + k_rows, nullptr, device_residual.get()}};
                    ASSERT_EQ(n, fused_together({parts, n}));
                    fused_project({parts, n}, input.fused, {}, slot, nullptr);
                    const std::vector<float> values = out.download();
                    const double bound = matvec_bound(q_type) + 4e-7;
                    EXPECT_LT(relative_error(values.data(), reference(q, input.values)), bound);
                    EXPECT_LT(relative_error(values.data() + q_rows, reference(k, input.values, bias.data())), bound);
                    if (n < 3) continue;
                    EXPECT_LT(relative_error(values.data() + q_rows + k_rows,
                                             reference(v, input.values, nullptr, residual.data())),
                              bound);
                }
            }
        }
    }
}

TEST(CudaFusedTypes, MatricesShareALaunchOnlyWhereAKernelTakesTheirTypes) {
    const auto fuses = [](std::initializer_list<DeviceMatrix> matrices) {
        std::vector<MatvecPart> parts;
        for (const DeviceMatrix& m : matrices) parts.push_back({&m, nullptr});
        return fused_together(parts) == parts.size();
    };
    for (const TensorType a : device_types()) {
        for (const TensorType b : device_types()) {
            const auto is_mix = [](TensorType x, TensorType y) {
                return (x == T::Q4_K || x == T::Q5_K) && y == T::Q6_K;
            };
            const bool expected = a == b || is_mix(a, b) || is_mix(b, a);
            EXPECT_EQ(expected, fuses({{a, 8, 256}, {b, 16, 256}})) << traits(a).name << ", " << traits(b).name;
            EXPECT_EQ(expected, fuses({{a, 8, 256}, {a, 8, 256}, {b, 16, 256}}))
                << traits(a).name << ", " << traits(b).name;
            EXPECT_EQ(expected, can_fuse_gated({a, 8, 256}, {b, 8, 256})) << traits(a).name << ", " << traits(b).name;
        }
        EXPECT_TRUE(fuses({{a, 8, 256}})) << traits(a).name;
        EXPECT_FALSE(fuses({{a, 8, 256}, {a, 8, 512}})) << traits(a).name;
    }
    EXPECT_FALSE(fuses({{T::Q4_K, 8, 256}, {T::Q5_K, 8, 256}, {T::Q6_K, 8, 256}}));
    EXPECT_FALSE(fuses({{T::F32, 8, 256}, {T::F32, 8, 256}, {T::F32, 8, 256}, {T::F32, 8, 256}}));
    EXPECT_FALSE(fuses({{T::F32, 8, 33}}));
    EXPECT_FALSE(fuses({{T::F16, 8, 48}}));
}

// ---- feed-forward networks ----

TEST(CudaTileShares, CoverEveryTileOnce) {
    for (const uint32_t blocks : {1u, 7u, 132u}) {
        for (const uint32_t n_tiles : {1u, 6u, 7u, 8u, 131u, 132u, 133u, 264u, 2240u}) {
            const TileShares shares = TileShares::of(n_tiles, blocks);
            uint32_t next = 0;
            for (uint32_t block = 0; block < blocks; ++block) {
                EXPECT_EQ(next, shares.first(block)) << n_tiles << " tiles, block " << block << " of " << blocks;
                EXPECT_LE(shares.count(block), shares.most);
                next += shares.count(block);
            }
            EXPECT_EQ(n_tiles, next);
        }
    }
}

/// A matrix that is never read.
DeviceMatrix unread(TensorType type, uint32_t rows, uint32_t cols) {
    return {type, rows, cols, reinterpret_cast<uint8_t*>(256), device_bytes(type, rows, cols)};
}

/// That the pieces lie within what each block reads, and do not overlap.
void check_prefetch(const WeightPrefetch& prefetch, std::span<const DeviceMatrix> matrices) {
    EXPECT_EQ(0u, prefetch.piece_bytes % 16);
    EXPECT_EQ(0u, prefetch.stride % 16);
    EXPECT_LE(prefetch.piece_bytes, prefetch.stride);
    uint32_t tiles = 0;
    for (uint32_t block = 0; block < prefetch.blocks; ++block) {
        EXPECT_EQ(tiles, prefetch.shares.first(block));
        tiles += prefetch.shares.count(block);
        EXPECT_LE((WeightPrefetch::PIECES - 1) * prefetch.stride + prefetch.piece_bytes,
                  prefetch.shares.count(block) * prefetch.tile_bytes[0]);
        EXPECT_LE((WeightPrefetch::PIECES - 1) * prefetch.stride + prefetch.piece_bytes,
                  prefetch.shares.count(block) * prefetch.tile_bytes[matrices.size() - 1]);
    }
    for (size_t i = 0; i < matrices.size(); ++i) {
        EXPECT_EQ(matrices[i].data, prefetch.data[i]);
        EXPECT_EQ((matrices[i].rows + TILE_ROWS - 1) / TILE_ROWS, tiles);
        EXPECT_EQ(device_bytes(matrices[i].type, TILE_ROWS * 64, matrices[i].cols),
                  (size_t{64} * prefetch.tile_bytes[i] + 4 + 255) / 256 * 256);
    }
}

TEST(CudaWeightPrefetch, LiesWithinWhatBlocksRead) {
    for (const auto& [gate, up] :
         {std::pair{T::Q4_K, T::Q4_K}, {T::Q4_K, T::Q6_K}, {T::Q6_K, T::Q4_K}, {T::F16, T::F16}, {T::Q8_0, T::Q8_0}}) {
        for (const uint32_t n_sms : {1u, 108u, 132u}) {
            for (const uint32_t rows : {1u, 130u, 527u, 4864u, 8960u, 14336u, 200'003u}) {
                for (const uint32_t cols : {256u, 1536u, 4096u, 28672u}) {
                    SCOPED_TRACE(testing::Message() << traits(gate).name << ", " << traits(up).name << ": " << rows
                                                    << "x" << cols << " on " << n_sms);
                    const DeviceMatrix matrices[] = {unread(gate, rows, cols), unread(up, rows, cols)};
                    check_prefetch(gated_feed_forward_prefetch(matrices[0], matrices[1], 1'000'000, n_sms), matrices);
                    check_prefetch(project_prefetch(matrices[1], 1'000'000, n_sms), {matrices + 1, 1});
                }
            }
        }
    }
}

TEST(CudaWeightPrefetch, IsForSharesThatNoRingHolds) {
    constexpr uint32_t SMS = 132;
    const auto bytes = [](const WeightPrefetch& prefetch) { return prefetch.piece_bytes * WeightPrefetch::PIECES; };
    const DeviceMatrix gate = unread(T::Q4_K, 8960, 1536), down = unread(T::Q6_K, 1536, 8960);  // of 1.5B
    EXPECT_GT(bytes(gated_feed_forward_prefetch(gate, gate, 1'400'000, SMS)), 20'000u);
    EXPECT_GT(bytes(project_prefetch(down, 2 * gate.n_bytes, SMS)), 10'000u);
    // Of small matrices, and where what is between takes long, nothing.
    const DeviceMatrix small = unread(T::Q8_0, 128, 896);
    EXPECT_EQ(0u, bytes(gated_feed_forward_prefetch(small, small, 1'400'000, SMS)));
    EXPECT_EQ(0u, bytes(project_prefetch(unread(T::Q8_0, 896, 4864), 9'000'000, SMS)));
    EXPECT_EQ(0u, bytes(gated_feed_forward_prefetch(gate, gate, 33'000'000, SMS)));
    EXPECT_EQ(0u, bytes(project_prefetch(down, 235'000'000, SMS)));
}

TEST(CudaFusedTypes, LaunchesThatNoKernelTakesAreRefused) {
    const DeviceMatrix half = unread(T::F16, 8, 256), quantised = unread(T::Q8_0, 8, 256);
    const MatvecPart part = {&half, nullptr};
    test::expect_error(REPRISE_INTERNAL, {"float weights", "bfloat16"},
                       [&] { fused_project({&part, 1}, {nullptr, nullptr, 0, true}, {}, Slot::LARGE, nullptr); });
    test::expect_error(REPRISE_INTERNAL, {"prefetch", "do not go together"},
                       [&] { gated_feed_forward_prefetch(half, quantised, 0, 132); });
}

/// What silu(gate) * up may be off where gate and up are off by relative_error * norms. silu has slopes of at most 1.1.
/// __expf() has 2 + 1.17 |gate| units in the last place, which weigh most around gate = 2.4; with the quotient's two
/// and some roundings that is less than 1e-6 of y or up.
double gated_tolerance(double gate, double up, double gate_error, double up_error) {
    const double silu = gate / (1 + std::exp(-gate));
    return 1.1 * gate_error * (std::fabs(up) + up_error) + std::fabs(silu) * up_error +
           1e-6 * (std::fabs(silu * up) + std::fabs(up));
}

/// A network's output, [rows]: bfloat16 as float32.
std::vector<float> gated(const TestMatrix& gate, const TestMatrix& up, const FusedInput& input, Slot slot) {
    const uint32_t rows = gate.matrix.rows;
    const Output out(rows);
    fused_gated_feed_forward(gate.matrix, up.matrix, input, out.get(), slot, nullptr);
    const std::vector<float> words = out.download();
    if (!writes_bf16(gate.matrix)) return words;
    std::vector<float> values(rows);
    for (uint32_t r = 0; r < rows; ++r) {
        const uint32_t pair = std::bit_cast<uint32_t>(words[r / 2]);
        values[r] = bf16_to_float(static_cast<uint16_t>(r % 2 == 0 ? pair : pair >> 16));
    }
    return values;
}

void check_gated(const TestMatrix& gate, const TestMatrix& up, const Input& input, Slot slot) {
    const std::vector<float> values = gated(gate, up, input.fused, slot);
    EXPECT_EQ(values, gated(gate, up, input.fused, slot)) << "a second launch";
    const Reference gates = reference(gate, input.values), ups = reference(up, input.values);
    const double error = 1e-5;  // as matvec_bound(), but of single values, and with the norm's factor
    for (uint32_t r = 0; r < gate.matrix.rows; ++r) {
        const double g = gates.values[r], u = ups.values[r], expected = g / (1 + std::exp(-g)) * u;
        double tolerance = gated_tolerance(g, u, error * gates.norms[r], error * ups.norms[r]);
        if (writes_bf16(gate.matrix))
            tolerance += (std::fabs(expected) + tolerance) / 256;  // half a unit in the last of eight bits
        ASSERT_NEAR(expected, values[r], tolerance) << "row " << r << ", gate " << g << ", up " << u;
    }
}

/// amplitude: of gates and of what they let through.
void check_gated(TensorType gate_type, TensorType up_type, const Shape& shape, float amplitude) {
    Random random(24);
    const TestMatrix gate(random, gate_type, shape.rows, shape.cols), up(random, up_type, shape.rows, shape.cols);
    EXPECT_EQ(!cpu::is_float(gate_type), writes_bf16(gate.matrix));
    double squares = 0;
    for (const float w : gate.weights) squares += double{w} * w;
    const float of_input = amplitude / static_cast<float>(std::sqrt(squares / shape.rows));
    for (const bool normed : {false, true}) {
        const Input input(random, gate_type, shape.cols, normed, Form::FLOAT32, of_input);
        for (const Slot slot : SLOTS) {
            SCOPED_TRACE(testing::Message()
                         << traits(gate_type).name << ", " << traits(up_type).name << ", " << shape << ", amplitude "
                         << amplitude << (normed ? ", norm" : "") << (slot == Slot::LARGE ? ", large" : ", small"));
            check_gated(gate, up, input, slot);
        }
    }
}

TEST_P(CudaFusedProject, GatesTheFeedForwardNetwork) {
    for (const Shape& shape : shapes(GetParam())) check_gated(GetParam(), GetParam(), shape, 2);
    // exp() of a gate's negative overflows, and what comes out would not fit into float16.
    check_gated(GetParam(), GetParam(), {301, 1536}, 1e4f);
}

TEST_P(CudaFusedParts, GateTheFeedForwardNetwork) {
    const auto [a, b, c] = GetParam().types;
    for (const Shape& shape : {Shape{301, 768}, Shape{1000, 1536}, Shape{7, 4096}}) {
        check_gated(a, b, shape, 2);
        check_gated(b, c, shape, 2);
    }
}

/// Kernels in a row start before their predecessor has ended: what they leave is what they leave one by one.
TEST_P(CudaFusedProject, WaitsForItsPredecessor) {
    Random random(25);
    const uint32_t n_embd = 1536, n_ff = 2304;
    const TestMatrix gate(random, GetParam(), n_ff, n_embd), up(random, GetParam(), n_ff, n_embd),
        down(random, GetParam(), n_embd, n_ff);
    const Input input(random, GetParam(), n_embd, true, Form::FLOAT32, 0.01f);
    const Output x(n_embd), activations(n_ff);
    const Stream stream;
    const auto run = [&](bool one_by_one) {
        check(cudaMemcpy(x.get(), input.x.data(), n_embd * sizeof(float), cudaMemcpyHostToDevice), "uploading");
        check(cudaMemset(activations.get(), 0xff, n_ff * sizeof(float)), "poisoning");
        check(cudaDeviceSynchronize(), "uploading");
        SlotTurns slots;
        for (int layer = 0; layer < 4; ++layer) {
            fused_gated_feed_forward(gate.matrix, up.matrix, {x.get(), input.fused.norm, EPS}, activations.get(),
                                     slots.next(), stream);
            if (one_by_one) stream.synchronize("testing");
            const MatvecPart part = {&down.matrix, x.get(), nullptr, x.get()};
            fused_project({&part, 1}, {activations.get(), nullptr, 0, writes_bf16(gate.matrix)}, {}, slots.next(),
                          stream);
            if (one_by_one) stream.synchronize("testing");
        }
        return x.download();
    };
    const std::vector<float> expected = run(true);
    for (const float v : expected) ASSERT_TRUE(std::isfinite(v));
    for (int repeat = 0; repeat < 10; ++repeat) ASSERT_EQ(expected, run(false)) << "run " << repeat;
}

}  // namespace
}  // namespace reprise::cuda
