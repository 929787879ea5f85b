// A plan as launches of the CPU's kernels.
#pragma once

#include "cpu/kernels.h"
#include "exec/program.h"

namespace reprise::cpu {

/// The program for steps of one row, in which every thread prepares the input of products for itself, or of up to rows
/// rows, in which the threads prepare it together. A barrier ends each launch.
Program lower(const Plan& plan, const Kernels& kernels, uint32_t rows);

}  // namespace reprise::cpu
