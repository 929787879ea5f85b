#include "cpu/states.h"

#include <algorithm>
#include <numeric>

namespace reprise::cpu {

States::States(std::span<const uint64_t> sizes) : values_(std::accumulate(sizes.begin(), sizes.end(), uint64_t{0})) {
    float* next = values_.data();
    for (const uint64_t size : sizes) {
        pointers_.push_back(next);
        next += size;
    }
}

uint64_t States::bytes(std::span<const uint64_t> sizes) {
    return std::accumulate(sizes.begin(), sizes.end(), uint64_t{0}) * sizeof(float) * (1 + MOST_KEPT);
}

void States::keep() {
    if (empty() || position_ == 0 || (!kept_.empty() && kept_.back().position == position_)) return;
    if (kept_.size() == MOST_KEPT) kept_.pop_front();
    kept_.push_back({position_, values_});
}

const States::Copy* States::latest(uint32_t n) const {
    const auto behind = std::ranges::find_if(kept_, [&](const Copy& copy) { return copy.position > n; });
    return behind == kept_.begin() ? nullptr : &*std::prev(behind);
}

uint32_t States::held(uint32_t n) const {
    if (empty()) return n;
    if (valid_ && position_ <= n) return position_;
    const Copy* copy = latest(n);
    return copy == nullptr ? 0 : copy->position;
}

void States::rewind(uint32_t n) {
    if (empty()) return;
    if (!valid_ || position_ > n) {
        const Copy* copy = latest(n);
        position_ = copy == nullptr ? 0 : copy->position;
        if (copy == nullptr) {
            std::ranges::fill(values_, 0.0f);
        } else {
            std::ranges::copy(copy->values, values_.begin());
        }
        valid_ = true;
    }
    while (!kept_.empty() && kept_.back().position > position_) kept_.pop_back();
}

void States::copy_from(const States& other, uint32_t n) {
    if (empty()) return;
    kept_.clear();
    const bool is_present = other.valid_ && other.position_ <= n;
    const Copy* copy = is_present ? nullptr : other.latest(n);
    valid_ = true;
    position_ = is_present ? other.position_ : copy != nullptr ? copy->position : 0;
    if (is_present) {
        std::ranges::copy(other.values_, values_.begin());
    } else if (copy != nullptr) {
        std::ranges::copy(copy->values, values_.begin());
    } else {
        std::ranges::fill(values_, 0.0f);
    }
    keep();
}

}  // namespace reprise::cpu
