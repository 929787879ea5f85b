// Handles: a kind, a generation and a slot, so that a null, stale, closed or foreign handle is found out.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/error.h"

namespace reprise {

class Registry {
  public:
    enum class Kind : uint8_t {
        GGUF = 1,
        MODEL = 2,
        SESSION = 3,
        TEMPLATE = 4,
        RENDERING = 5,
        VOCABULARY = 6,
        CONSTRAINT = 7
    };

    static Registry& instance();

    reprise_handle add(Kind kind, std::shared_ptr<void> object);
    /// The object, or REPRISE_INVALID_HANDLE saying what is wrong with the handle.
    template <class T>
    std::shared_ptr<T> get(reprise_handle handle, Kind kind) {
        return std::static_pointer_cast<T>(find(handle, kind, false));
    }
    /// As get(), and the handle is no longer valid.
    template <class T>
    std::shared_ptr<T> remove(reprise_handle handle, Kind kind) {
        return std::static_pointer_cast<T>(find(handle, kind, true));
    }
    /// Frees every object. No other call may be running.
    void clear();

  private:
    // handle = kind << 56 | generation << 32 | slot + 1
    struct Slot {
        std::shared_ptr<void> object;
        uint32_t generation = 1;
        Kind kind = Kind::GGUF;
    };
    static constexpr uint32_t LAST_GENERATION = (1u << 24) - 1;
    std::shared_ptr<void> find(reprise_handle handle, Kind kind, bool remove);
    std::mutex mutex_;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_;
};

}  // namespace reprise
