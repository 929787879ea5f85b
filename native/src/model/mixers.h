// Mixers that carry a state from token to token instead of keys and values, in the words of words.h.
#pragma once

#include "model/layers.h"

namespace reprise {

/// shortconv.in_proj to B, C and x; C times the convolution of B x; shortconv.out_proj.
/// https://arxiv.org/abs/2511.23404
Pieces short_convolution(Layers& layers, const Pieces& in, uint32_t kernel);

/// Keys ssm.inner_size, state_size, time_step_rank, group_count and conv_kernel.
struct MixerSpec {
    uint32_t inner = 0, state = 0, n_heads = 0, n_groups = 0, kernel = 0;
};
MixerSpec read_mixer(ModelKeys& keys);

/// Mamba-2: ssm_in to z, x, B, C and dt, a convolution, a scan, a gate and, where its tensor is there, a norm of
/// groups.
Pieces mamba2(Layers& layers, const Pieces& in, const MixerSpec& spec);

/// Gated delta net of Qwen3-Next and Qwen3.5: heads of values share those of keys, of which there are n_groups.
/// interleaved: value head i uses key head i % n_groups, and ssm_alpha and ssm_beta are there instead of ssm_ba.
Pieces delta_net(Layers& layers, const Pieces& in, const MixerSpec& spec, bool interleaved);

}  // namespace reprise
