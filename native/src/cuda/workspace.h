// The device memory in which the launches of a step leave values for one another: nothing in it outlasts a step, so
// that steps of whichever sequences can share it, one after the other.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/memory.h"
#include "cuda/program.h"

namespace reprise::cuda {

/// Adds what the values of a program need. Logits of a program of one row are the sequence's own.
void add_buffers(BufferBytes& buffers, const CudaProgram& program);

/// Allocated once at its maximum size: captured graphs keep its addresses.
class Workspace {
  public:
    static size_t bytes(const BufferBytes& buffers);

    /// Allocates on the current device and clears what kernels expect to be zero, in stream order.
    Workspace(const BufferBytes& buffers, cudaStream_t stream);
    size_t bytes() const { return memory_.size(); }

    /// Where the values of a program lie, which was among those that the buffers were added for.
    std::vector<uint8_t*> addresses(const CudaProgram& program) const;

  private:
    DeviceBuffer memory_;
    const BufferBytes buffers_;
    std::map<std::string, uint8_t*> places_;
};

}  // namespace reprise::cuda
