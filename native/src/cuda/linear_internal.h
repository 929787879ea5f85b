// What the files of linear.h share among themselves.
#pragma once

namespace reprise::cuda {

void load_matvec_kernels();
void load_input_kernels();
void load_matmul_kernels();

}  // namespace reprise::cuda
