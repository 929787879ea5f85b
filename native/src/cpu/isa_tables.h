// The function tables of the instruction sets. Only instruction_sets() may hand them out: calling into one that the
// machine lacks is an illegal instruction.
#pragma once

#include "cpu/kernels.h"

namespace reprise::cpu {

extern const Kernels kBaselineKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512VnniKernels;

}  // namespace reprise::cpu
