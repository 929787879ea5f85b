// What the number format of a session's KV cache changes, and what it does not.
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class SessionKvType : public SessionTest {};
ON_EVERY_BACKEND(SessionKvType);

TEST_P(SessionKvType, HoldsWhatWasEvaluated) {
    const LoadedModel model = load_precise();
    const Ids a = some_ids(40, 1), b = some_ids(16, 2), other = some_ids(50, 3);
    std::vector<std::vector<float>> logits;
    for (const reprise_kv_type kv_type : {REPRISE_KV_F32, REPRISE_KV_F16, REPRISE_KV_Q8_0}) {
        reprise_session_options options = session_options(0, 16);
        options.kv_type = kv_type;
        options.graph_mode = GetParam().graph_mode;
        const OpenSession session = model.open(options);
        session.evaluate(a);
        logits.push_back(session.logits());
        const Ids generated = session.generate(b, 40).ids;
        session.rewind(0);
        session.evaluate(other);
        session.rewind(0);
        session.evaluate(a);
        EXPECT_EQ(logits.back(), session.logits()) << kv_type;
        EXPECT_EQ(generated, session.generate(b, 40).ids) << kv_type;
    }
    // Normal values are off by 25 times as much in Q8_0 as in F16 (the root mean squares of quant_test.cpp), and logits
    // follow small changes nearly in proportion; four times that leaves room for chance.
    const float half = max_abs_difference(logits[0], logits[1]), eight_bits = max_abs_difference(logits[0], logits[2]);
    EXPECT_GT(half, 0.0f);
    EXPECT_GT(eight_bits, half);
    EXPECT_LE(eight_bits, 100 * half);
}

TEST_P(SessionKvType, OfBlocksNeedsHeadsOfWholeBlocks) {
    ModelSpec spec = tiny_spec();
    spec.head_dim = 72;
    const LoadedModel model = load(spec, uniform_types(TensorType::F32));
    reprise_session_options options = session_options();
    options.kv_type = REPRISE_KV_Q8_0;
    const auto expect_refused = [](reprise_status status) {
        expect_status(REPRISE_INVALID_ARGUMENT, status,
                      {"kv_type", "Q8_0", "blocks of 32", "head_dim is 72", "F16 or F32"});
    };
    reprise_handle session = 1, gguf;
    expect_refused(reprise_session_open(model.handle(), &options, &session));
    EXPECT_EQ(0u, session);
    ok(reprise_gguf_open(dir_.file("model.gguf").c_str(), 1, &gguf));
    reprise_memory memory;
    expect_refused(reprise_gguf_memory(gguf, nullptr, &options, &memory));
    ok(reprise_gguf_close(gguf));
    options.kv_type = REPRISE_KV_F16;
    EXPECT_EQ(3u, model.open(options).generate({1, 2}, 3).ids.size());
}

}  // namespace
}  // namespace reprise::test
