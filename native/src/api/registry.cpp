#include "api/registry.h"

namespace reprise {

namespace {

const char* kind_name(uint8_t kind) {
    switch (kind) {
        case 1:
            return "file";
        case 2:
            return "model";
        case 3:
            return "session";
        case 4:
            return "template";
        case 5:
            return "rendering";
        case 6:
            return "vocabulary";
        case 7:
            return "constraint";
        default:
            return nullptr;
    }
}

}  // namespace

Registry& Registry::instance() {
    // Never destroyed: a thread may still hold a handle while the process exits. Where a JVM unloads the library,
    // jni/unload.cpp clears it.
    static Registry* registry = new Registry();
    return *registry;
}

reprise_handle Registry::add(Kind kind, std::shared_ptr<void> object) {
    std::lock_guard<std::mutex> lock(mutex_);
    uint32_t index;
    if (free_.empty()) {
        slots_.emplace_back();
        index = static_cast<uint32_t>(slots_.size() - 1);
    } else {
        index = free_.back();
        free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.object = std::move(object);
    slot.kind = kind;
    return static_cast<uint64_t>(kind) << 56 | static_cast<uint64_t>(slot.generation) << 32 | (index + 1);
}

std::shared_ptr<void> Registry::find(reprise_handle handle, Kind kind, bool remove) {
    const char* wanted = kind_name(static_cast<uint8_t>(kind));
    if (handle == 0) fail(REPRISE_INVALID_HANDLE, "the %s handle is null", wanted);
    const uint8_t actual = static_cast<uint8_t>(handle >> 56);
    const uint32_t generation = static_cast<uint32_t>(handle >> 32) & LAST_GENERATION;
    const uint32_t index = static_cast<uint32_t>(handle) - 1;
    if (kind_name(actual) == nullptr)
        fail(REPRISE_INVALID_HANDLE, "0x%llx is not a handle of Reprise", static_cast<unsigned long long>(handle));
    if (actual != static_cast<uint8_t>(kind))
        fail(REPRISE_INVALID_HANDLE, "a %s handle was given where a %s handle is wanted", kind_name(actual), wanted);
    std::lock_guard<std::mutex> lock(mutex_);
    if (index >= slots_.size() || slots_[index].generation != generation || slots_[index].object == nullptr ||
        slots_[index].kind != kind) {
        fail(REPRISE_INVALID_HANDLE, "the %s is closed", wanted);
    }
    Slot& slot = slots_[index];
    if (!remove) return slot.object;
    std::shared_ptr<void> object = std::move(slot.object);
    slot.object = nullptr;
    // A slot whose generations are used up is never used again.
    if (slot.generation < LAST_GENERATION) {
        ++slot.generation;
        free_.push_back(index);
    }
    return object;
}

void Registry::clear() {
    std::lock_guard<std::mutex> lock(mutex_);
    slots_ = {};
    free_ = {};
}

}  // namespace reprise
