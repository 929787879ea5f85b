// What a kernel of the fused decode step has by its place in the step: its size of shared memory, and a counter.
#pragma once

#include <cstdint>

namespace reprise::cuda {

/// Two sizes of shared memory: see slot_size() in launch.cuh.
enum class SlotSize { LARGE, SMALL };

/// In device memory, zero between launches: how many tiles of a TileQueue are taken, and blocks that take no more.
struct TileCounter {
    uint32_t next, done;
};

struct Slot {
    SlotSize size;
    TileCounter* counter;
};

/// Large and small in turns. Kernels that run at the same time have counters of their own: never more than four run.
class SlotTurns {
  public:
    static constexpr uint32_t COUNTERS = 8;

    /// counters: COUNTERS of them in device memory.
    explicit SlotTurns(TileCounter* counters) : counters_(counters) {}

    Slot next() {
        const uint32_t turn = turn_++;
        return {turn % 2 == 0 ? SlotSize::LARGE : SlotSize::SMALL, counters_ + turn % COUNTERS};
    }

  private:
    TileCounter* counters_;
    uint32_t turn_ = 0;
};

}  // namespace reprise::cuda
