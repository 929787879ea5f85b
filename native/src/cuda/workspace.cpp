#include "cuda/workspace.h"

#include "core/error.h"
#include "cuda/check.h"

namespace reprise::cuda {

namespace {

Room room_for(const CudaProgram& program) {
    const uint64_t logit_rows = program.rows > 1 ? program.rows : 0;
    return {program.rows, logit_rows, 1};
}

std::map<std::string, uint8_t*> carve(Carver& carver, const BufferBytes& buffers) {
    std::map<std::string, uint8_t*> places;
    for (const auto& [name, n_bytes] : buffers) places[name] = carver.take<uint8_t>(n_bytes);
    return places;
}

}  // namespace

void add_buffers(BufferBytes& buffers, const CudaProgram& program) {
    add_buffers(buffers, program.values, room_for(program));
}

size_t Workspace::bytes(const BufferBytes& buffers) {
    Carver carver(nullptr);
    carve(carver, buffers);
    return carver.used();
}

Workspace::Workspace(const BufferBytes& buffers, cudaStream_t stream)
    : memory_(bytes(buffers), "the workspace"), buffers_(buffers) {
    check(cudaMemsetAsync(memory_.data(), 0, memory_.size(), stream), "clearing the workspace");
    Carver carver(memory_.data());
    places_ = carve(carver, buffers_);
}

std::vector<uint8_t*> Workspace::addresses(const CudaProgram& program) const {
    std::vector<uint8_t*> addresses;
    const Room room = room_for(program);
    for (const StepValue& value : program.values) {
        const auto place = places_.find(value.name);
        if (place == places_.end() || buffers_.at(value.name) < room.bytes(value))
            fail(REPRISE_INTERNAL, "the workspace has no room for %s", value.name.c_str());
        addresses.push_back(place->second);
    }
    return addresses;
}

}  // namespace reprise::cuda
