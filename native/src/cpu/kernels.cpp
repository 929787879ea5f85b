#include "cpu/kernels.h"

namespace reprise::cpu {
std::vector<IsaEntry> instruction_sets() { return {{&exact_kernels(), true}}; }
const Kernels& kernels() { return exact_kernels(); }
}  // namespace reprise::cpu
