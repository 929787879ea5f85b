// The steps of layers that are not of the llama family: each reads and writes values that the plan names, one row of
// each for every row of a step. A value is float32.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "model/activation.h"

namespace reprise {

struct Weight;

struct PlanValue {
    std::string name;
    uint64_t width;  // float32 values of a row
};

/// n pieces of a row of a value, width values each, stride apart: heads, slots of experts, or one piece.
struct Pieces {
    uint32_t value = 0;  // index into Plan::values
    uint32_t offset = 0;
    uint32_t n = 1, width = 0, stride = 0;

    /// The same part of every piece.
    Pieces part(uint32_t begin, uint32_t size) const { return {value, offset + begin, n, size, stride}; }
    /// Neighbouring pieces as one.
    Pieces joined() const { return {value, offset, 1, n * width, n * width}; }
    /// One piece as n.
    Pieces split(uint32_t parts) const { return {value, offset, parts, width / parts, width / parts}; }
};

// ---- what is computed row by row ----

enum class NormKind {
    RMS,    // x / sqrt(mean(x^2) + eps). https://arxiv.org/abs/1910.07467
    LAYER,  // (x - mean(x)) / sqrt(var(x) + eps). https://arxiv.org/abs/1607.06450
    L2,     // x / sqrt(sum(x^2) + eps)
};
/// Every piece for itself, times weight, plus bias: as wide as a piece, or one for each piece, or null.
struct NormOp {
    Pieces in, out;
    NormKind kind;
    const Weight *weight, *bias;
    float eps;
};
/// Cosines, then sines, of the angles that RoPE turns by: [n_rot].
struct AngleOp {
    uint32_t rope;  // index into Plan::ropes
    Pieces out;
};
/// RoPE on the leading dimensions of every piece.
struct RotateOp {
    uint32_t rope;
    Pieces angles, pieces;
};
/// out = factor in
struct ScaleOp {
    Pieces in, out;
    float factor;
};
/// pieces *= 1 + scale ln(1 + floor((position + offset) / length)): attention that stays sharp in long contexts.
struct TemperatureOp {
    Pieces pieces;
    float scale, length, offset;
};
/// out = activation(gate) * up. A gate of width 1 is for its whole piece of up.
struct ActivateOp {
    Activation activation;
    Pieces gate, up;
    bool has_up;
    Pieces out;
};
/// out = a + factor b
struct AddOp {
    Pieces a, b, out;
    float factor;
};
/// out += factor row of table: the token's, or the position's.
struct LookupOp {
    const Weight* table;
    bool by_position;
    uint32_t first;  // value of the row that is taken to begin with
    float factor;
    bool adds;  // else out is overwritten
    Pieces out;
};
/// To the KV cache at the row's position. Without values where its KvSpec has none.
struct StoreKvOp {
    uint32_t kv;  // index into HyperParams::kv
    Pieces keys, values;
};
enum class Gating { SOFTMAX, SIGMOID, SOFTMAX_OF_CHOSEN };
/// Chooses experts by their logits. Of the weights, chosen[i] is the expert of slot i, as a float.
struct RouteOp {
    Pieces logits;       // [n_experts]
    const Weight* bias;  // [n_experts] on what experts are chosen by, not on their weights; or null
    Gating gating;
    uint32_t n_groups, n_groups_used;  // experts of the groups whose two best sum up highest; 1, 1: of all
    bool normalised;                   // weights sum up to 1
    float scale;                       // on the weights
    const Weight* expert_scale;        // [n_experts] on the weights; or null
    Pieces chosen, weights;            // [n_used]
};
/// out = sum of weights[i] in[i]
struct CombineOp {
    Pieces in, weights, out;
};
using RowOp = std::variant<NormOp, AngleOp, RotateOp, ScaleOp, TemperatureOp, ActivateOp, AddOp, LookupOp, StoreKvOp,
                           RouteOp, CombineOp>;

struct RowStep {
    uint32_t layer;
    RowOp op;
};

// ---- what is not ----

/// Products of one input: out = W in + bias.
struct LinearStep {
    struct Part {
        const Weight* weight;
        const Weight* bias;  // or null
        Pieces out;
    };
    uint32_t layer;
    Pieces in;
    std::vector<Part> parts;
};
/// out[i] = W[e] in[i] + bias[e] with matrix e = chosen[i] of a stack, or i where nothing chooses. in has one piece,
/// for all i, or a piece for each.
struct SelectedLinearStep {
    uint32_t layer;
    Pieces in;
    const Weight* weight;  // [n_matrices * out.width, in.width]
    const Weight* bias;    // [n_matrices, out.width] or null
    uint32_t n_matrices;
    bool is_chosen;
    Pieces chosen;
    Pieces out;
};
/// out = softmax(scale q K^T) V over positions up to the row's own.
struct AttendStep {
    uint32_t layer;
    uint32_t kv;          // index into HyperParams::kv
    Pieces q, out;        // a piece for each head
    float scale;          // on q k
    uint32_t window;      // latest positions that a row sees, its own included; 0: all
    uint32_t chunk;       // or those from the last multiple of it on; 0: all
    float soft_cap;       // scores become cap tanh(score / cap); 0: none
    const Weight* sinks;  // [heads] scores of a key without a value; or null
};
/// Depthwise over the latest rows: out[t] = activation(sum of weight[c][i] in[t - size + 1 + i][c] + bias[c]). Keeps
/// size - 1 inputs.
struct ConvStep {
    uint32_t layer, state;  // index into HyperParams::state_values
    Pieces in, out;         // one piece of channels
    const Weight* weight;   // [channels, size]
    const Weight* bias;     // [channels] or null
    bool silu;
};
/// Gated delta rule, a head at a time: S *= exp(decay); S += k (beta (v - S^T k))^T; out = S^T q.
/// Yang et al., https://arxiv.org/abs/2412.06464
struct DeltaNetStep {
    uint32_t layer, state;
    Pieces q, k, v;             // q and k by key head, v by value head
    bool interleaved;           // value head i uses key head i % n_key_heads, else i / (n_value_heads / n_key_heads)
    Pieces decay, beta;         // [value heads]: softplus(decay + bias) * a; sigmoid(beta)
    const Weight *a, *dt_bias;  // [value heads]
    float scale;                // on q
    Pieces out;
};
/// Mamba-2: h = exp(softplus(dt + bias) a) h + softplus(dt + bias) x B^T; out = h C + d x, a head at a time.
/// Dao and Gu, https://arxiv.org/abs/2405.21060
struct ScanStep {
    uint32_t layer, state;
    Pieces x, b, c, dt;             // x by head, b and c by group of heads, dt [heads]
    const Weight *a, *d, *dt_bias;  // [heads]
    Pieces out;
};

}  // namespace reprise
