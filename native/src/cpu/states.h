// The recurrent states of a sequence: what they are behind the last row computed, and copies of what they were, since
// no state can be taken back.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace reprise::cpu {

class States {
  public:
    /// sizes: HyperParams::state_values. Behind no token, all are zero.
    explicit States(std::span<const uint64_t> sizes);
    States(const States&) = delete;
    States& operator=(const States&) = delete;

    bool empty() const { return pointers_.empty(); }
    /// Of states of these sizes with all copies.
    static uint64_t bytes(std::span<const uint64_t> sizes);
    /// What a step reads and changes.
    float* const* pointers() const { return pointers_.data(); }
    std::span<float> values() { return values_; }

    /// How many tokens the states are behind.
    uint32_t position() const { return position_; }
    /// A step is about to change them: until moved() they are those of no position.
    void begin_move() { valid_ = false; }
    void moved(uint32_t position) { position_ = position, valid_ = true; }
    /// Keeps a copy of what they are. The oldest of more than MOST_KEPT goes.
    void keep();
    /// The most tokens, at most n, that they or a copy are behind.
    uint32_t held(uint32_t n) const;
    /// Goes back there; forgets what is behind it.
    void rewind(uint32_t n);
    /// Becomes what the other is or was at held(n).
    void copy_from(const States& other, uint32_t n);

  private:
    static constexpr size_t MOST_KEPT = 4;
    struct Copy {
        uint32_t position;
        std::vector<float> values;
    };
    const Copy* latest(uint32_t n) const;

    std::vector<float> values_;
    std::vector<float*> pointers_;
    uint32_t position_ = 0;
    bool valid_ = true;
    std::deque<Copy> kept_;  // by position
};

}  // namespace reprise::cpu
