// What feed-forward networks and gates do to a value. Apart, since kernels that are compiled for one instruction set
// include it: it has no function that another file could take over.
#pragma once

namespace reprise {

enum class Activation {
    NONE,          // g
    SILU,          // g sigmoid(g)
    GELU,          // 0.5 g (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))). https://arxiv.org/abs/1606.08415
    RELU_SQUARED,  // max(g, 0)^2. https://arxiv.org/abs/2109.08668
    SIGMOID,       // sigmoid(g)
    CLAMPED_SILU,  // of gpt-oss: g sigmoid(1.702 g) with g at most 7; times up in -7 .. 7, plus 1
};

}  // namespace reprise
