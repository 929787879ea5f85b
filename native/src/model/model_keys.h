// A model's hyper-parameters: metadata as an architecture reads it. Reading a key marks it, so that none which might
// change what the model computes can go unread.
#pragma once

#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace reprise {

/// Keys are named without the architecture: "block_count" reads "<architecture>.block_count". Numbers may have any
/// numeric type. A value per layer (an array) is accepted where all layers have the same; an empty array is as if the
/// key were absent.
class ModelKeys {
  public:
    /// REPRISE_MODEL_FORMAT where general.architecture is missing.
    explicit ModelKeys(const GgufFile& file);
    const std::string& architecture() const { return architecture_; }
    /// The whole key, for messages.
    std::string name(const char* key) const { return architecture_ + "." + key; }
    /// How many values an array has to have; before it is known, there are none.
    void set_layers(uint32_t n_layers) { n_layers_ = n_layers; }

    bool has(const char* key) { return read(key) != nullptr; }
    /// What is missing, no number or out of range is REPRISE_MODEL_FORMAT, what differs between layers
    /// REPRISE_UNSUPPORTED_MODEL.
    uint32_t need_uint(const char* key, uint32_t min, uint32_t max);
    uint32_t uint_or(const char* key, uint32_t fallback, uint32_t min, uint32_t max);
    float need_float(const char* key, float min, float max);
    float float_or(const char* key, float fallback, float min, float max);
    /// As float_or(), for keys of which 0 says the same as their absence.
    float nonzero_or(const char* key, float fallback, float min, float max);
    /// Values that may differ between layers, one for each; a single one is for all.
    std::vector<uint32_t> uints_or(const char* key, uint32_t fallback, uint32_t min, uint32_t max);
    /// Which layers are not the last of their period: the key holds the period, or a truth value for each layer.
    std::vector<bool> all_but_last_of(const char* key, uint32_t period);
    bool flag_or(const char* key, bool fallback);
    std::string text_or(const char* key, const char* fallback);

    /// REPRISE_UNSUPPORTED_MODEL if the key is there with a value, as float32, other than one of neutral. what: what
    /// another value would ask for.
    void refuse_unless(const char* key, std::initializer_list<double> neutral, const char* what);

    /// REPRISE_UNSUPPORTED_MODEL naming the first key that the architecture has not read, whose name says that it is
    /// about the model's arithmetic (it has the architecture's prefix, or "rope" or "attention" in it), and that is
    /// neither known to change nothing nor has a value that changes nothing: model_keys.cpp lists those.
    void refuse_unread() const;
    /// The same for one key, before a plan relies on its default.
    void refuse_unless_default(const char* key);

  private:
    /// Null where the key is absent or an empty array.
    const Value* read(const char* key);
    std::optional<double> number(const char* key);
    void check(std::string_view key, const Value& value) const;
    const GgufFile& file_;
    std::string architecture_;
    uint32_t n_layers_ = 0;
    std::set<std::string, std::less<>> read_;  // whole keys
};

}  // namespace reprise
