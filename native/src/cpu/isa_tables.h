// The function tables of the instruction sets. Only instruction_sets() may hand them out: calling into one that the
// machine lacks is an illegal instruction.
#pragma once

#include "cpu/kernels.h"

namespace reprise::cpu {

extern const Kernels kBaselineKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512VnniKernels;

/// kernels() with REPRISE_CPU_ISA = wanted; null or empty: the best set this machine has.
const Kernels& choose_kernels(const char* wanted);

}  // namespace reprise::cpu
