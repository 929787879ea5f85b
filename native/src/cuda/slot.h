// Which of two sizes of shared memory a kernel of the fused decode step takes: see slot_size() in launch.cuh.
#pragma once

namespace reprise::cuda {

enum class Slot { LARGE, SMALL };

/// Large and small in turns.
class SlotTurns {
  public:
    Slot next() {
        large_ = !large_;
        return large_ ? Slot::LARGE : Slot::SMALL;
    }

  private:
    bool large_ = false;
};

}  // namespace reprise::cuda
