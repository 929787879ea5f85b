// Logits of files whose metadata asks for something out of the ordinary, on every backend and by every way through it,
// against double precision.
#include "support/reference_model.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

struct Case {
    const char* name;
    const char* architecture;
    std::vector<std::pair<const char*, EncodedValue>> changes;  // keys without the architecture
    void (*apply)(ReferenceRules& rules);
};

std::vector<Case> cases() {
    const auto real = EncodedValue::float32;
    const auto half_of_a_head = [](ReferenceRules& rules) { rules.n_rot /= 2; };
    return {
        {"nothing", "llama", {}, [](ReferenceRules&) {}},
        {"magnitude", "llama", {{"rope.scaling.attn_factor", real(0.5f)}}, [](auto& r) { r.rope_magnitude = 0.5; }},
        {"magnitude with norms of heads",
         "qwen3",
         {{"rope.scaling.attn_factor", EncodedValue::float64(1.25)}},
         [](auto& r) { r.rope_magnitude = 1.25; }},
        {"half of a head", "qwen2", {{"rope.dimension_count", EncodedValue::uint32(32)}}, half_of_a_head},
        {"magnitude of half a head, positions divided",
         "qwen2",
         {{"rope.dimension_count", EncodedValue::uint32(32)},
          {"rope.scaling.attn_factor", real(0.7f)},
          {"rope.scaling.type", EncodedValue::string("linear")},
          {"rope.scaling.factor", real(4)}},
         [](auto& r) { r.n_rot /= 2, r.rope_magnitude = 0.7f, r.rope_divisor = 4; }},
        {"scale of attention", "llama", {{"attention.scale", real(0.3f)}}, [](auto& r) { r.attention_scale = 0.3f; }},
        {"scale of attention, magnitude",
         "qwen3",
         {{"attention.scale", real(0.02f)}, {"rope.scaling.attn_factor", real(2)}},
         [](auto& r) { r.attention_scale = 0.02f, r.rope_magnitude = 2; }},
    };
}

class SessionArithmetic : public SessionTest {
  protected:
    /// The largest error of any logit, fed as a prompt and as steps.
    float largest_error(const std::string& path, bool exact, reprise_session_options options, const Ids& ids,
                        const std::vector<float>& expected) const {
        const LoadedModel model(path, model_options(GetParam().device, exact));
        options.graph_mode = GetParam().graph_mode;
        float largest = 0;
        for (const reprise_score_mode mode : {REPRISE_SCORE_BATCH, REPRISE_SCORE_STEP, REPRISE_SCORE_GRAPH})
            largest = std::max(largest, max_abs_difference(expected, model.open(options).score(ids, mode)));
        return largest;
    }
};

TEST_P(SessionArithmetic, IsWhatTheFileAsksFor) {
    const Ids ids = some_ids(24);
    for (const Case& c : cases()) {
        SCOPED_TRACE(c.name);
        const ModelSpec spec = tiny_spec(c.architecture);
        GgufWriter writer = random_model(spec, uniform_types(TensorType::F32), 1);
        for (const auto& [key, value] : c.changes) writer.set(std::string(c.architecture) + "." + key, value);
        const std::vector<uint8_t> bytes = writer.bytes();
        const std::string path = dir_.write("model.gguf", bytes);
        const auto file = GgufFile::parse(bytes, "model");
        ReferenceRules rules = usual_rules(spec);
        const std::vector<double> usual = reference_logits(*file, spec, rules, ids);
        c.apply(rules);
        const std::vector<double> wanted = reference_logits(*file, spec, rules, ids);
        const std::vector<float> expected(wanted.begin(), wanted.end());
        // Logits have a standard deviation of 2.
        const float effect = max_abs_difference(expected, {usual.begin(), usual.end()});
        EXPECT_TRUE(c.changes.empty() || effect > 0.2f) << effect;

        reprise_session_options options = session_options(0, 16);
        EXPECT_LT(largest_error(path, false, options, ids, expected), 3e-2f);  // float16 keys and values
        EXPECT_LT(largest_error(path, true, options, ids, expected), 1e-3f);
        options.kv_type = REPRISE_KV_F32;
        EXPECT_LT(largest_error(path, false, options, ids, expected), 1e-3f);
        options.unfused = 1;
        EXPECT_LT(largest_error(path, false, options, ids, expected), 1e-3f);
    }
}

ON_EVERY_BACKEND(SessionArithmetic);

}  // namespace
}  // namespace reprise::test
