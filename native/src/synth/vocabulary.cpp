#include "synth/vocabulary.h"

#include "core/error.h"

namespace reprise {

namespace {

// tokenizer.ggml.token_type
enum TokenType : int32_t { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, UNUSED = 5, BYTE = 6 };

struct Tokens {
    std::vector<std::string> texts;
    std::vector<int32_t> types;
    void add(std::string text, TokenType type) {
        texts.push_back(std::move(text));
        types.push_back(type);
    }
};

std::string utf8(uint32_t code_point) {  // below U+10000
    if (code_point < 0x80) return {static_cast<char>(code_point)};
    if (code_point < 0x800)
        return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 63))};
    return {static_cast<char>(0xe0 | code_point >> 12), static_cast<char>(0x80 | (code_point >> 6 & 63)),
            static_cast<char>(0x80 | (code_point & 63))};
}

/// GPT-2's alphabet: every byte as a visible character. The printable ones stand for themselves, the others for U+0100
/// and up (Radford et al. 2019, encoder.py).
std::vector<std::string> byte_alphabet() {
    std::vector<std::string> printable, others;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        const bool visible = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        if (visible) {
            printable.push_back(utf8(byte));
        } else {
            others.push_back(utf8(256 + static_cast<uint32_t>(others.size())));
        }
    }
    printable.insert(printable.end(), others.begin(), others.end());
    return printable;
}

constexpr const char* kLetters = "etaoinshrdlcumwfgypbvkjxqz";

/// Adds word pieces until there are n tokens: every string of letters, with or without the word marker in front,
/// shortest first. merge is called with the two tokens that make each.
template <typename Merge>
void add_pieces(Tokens& tokens, const std::string& word_marker, size_t n, Merge merge) {
    std::vector<std::string> level = {word_marker};
    for (const char* letter = kLetters; *letter; ++letter) level.emplace_back(1, *letter);
    while (tokens.texts.size() < n) {
        std::vector<std::string> longer;
        for (const std::string& stem : level) {
            for (const char* letter = kLetters; *letter && tokens.texts.size() < n; ++letter) {
                longer.push_back(stem + *letter);
                merge(stem, std::string(1, *letter));
                tokens.add(longer.back(), NORMAL);
            }
        }
        level = std::move(longer);
    }
}

void need_tokens(uint32_t given, uint32_t needed) {
    if (given < needed) {
        fail(REPRISE_INVALID_ARGUMENT, "a vocabulary of this kind needs at least %u regular tokens, not %u", needed,
             given);
    }
}

void add_byte_level(GgufWriter& writer, Tokens& tokens, uint32_t n_regular) {
    const std::vector<std::string> alphabet = byte_alphabet();
    need_tokens(n_regular, static_cast<uint32_t>(alphabet.size()));
    for (const std::string& character : alphabet) tokens.add(character, NORMAL);
    std::vector<std::string> merges;
    const std::string space = utf8(256 + ' ');
    add_pieces(tokens, space, n_regular,
               [&](const std::string& left, const std::string& right) { merges.push_back(left + " " + right); });
    writer.set("tokenizer.ggml.merges", EncodedValue::strings(merges));
}

void add_sentence_piece(GgufWriter& writer, Tokens& tokens, uint32_t n_regular, uint32_t n_vocab) {
    const std::string space = utf8(0x2581);
    need_tokens(n_regular, 3 + 256 + 1 + 26);
    tokens.add("<unk>", UNKNOWN);
    tokens.add("<s>", CONTROL);
    tokens.add("</s>", CONTROL);
    for (int byte = 0; byte < 256; ++byte) tokens.add(format("<0x%02X>", byte), BYTE);
    const size_t first_piece = tokens.texts.size();
    tokens.add(space, NORMAL);
    for (const char* letter = kLetters; *letter; ++letter) tokens.add(std::string(1, *letter), NORMAL);
    add_pieces(tokens, space, n_regular, [](const std::string&, const std::string&) {});
    std::vector<float> scores(n_vocab, 0.0f);
    for (size_t i = first_piece; i < n_regular; ++i) scores[i] = -static_cast<float>(i - first_piece);
    writer.set("tokenizer.ggml.scores", EncodedValue::float32s(scores));
    writer.set("tokenizer.ggml.unknown_token_id", EncodedValue::uint32(0));
}

}  // namespace

void add_vocabulary(GgufWriter& writer, const VocabularySpec& spec, uint32_t n_vocab) {
    const bool byte_level = spec.kind == VocabularyKind::BYTE_LEVEL_BPE;
    if (spec.n_regular > n_vocab) {
        fail(REPRISE_INVALID_ARGUMENT, "%u regular tokens in a vocabulary of %u", spec.n_regular, n_vocab);
    }
    Tokens tokens;
    writer.set("tokenizer.ggml.model", EncodedValue::string(byte_level ? "gpt2" : "llama"));
    writer.set("tokenizer.ggml.pre", EncodedValue::string(spec.pre));
    if (byte_level) {
        add_byte_level(writer, tokens, spec.n_regular);
    } else {
        add_sentence_piece(writer, tokens, spec.n_regular, n_vocab);
    }
    for (uint32_t id = spec.n_regular; id < n_vocab; ++id) tokens.add(format("[PAD%u]", id), UNUSED);
    for (const VocabularySpec::Special& special : spec.specials) {
        tokens.texts.at(special.id) = special.text;
        tokens.types.at(special.id) = CONTROL;
    }
    writer.set("tokenizer.ggml.tokens", EncodedValue::strings(tokens.texts));
    writer.set("tokenizer.ggml.token_type", EncodedValue::int32s(tokens.types));
    writer.set("tokenizer.ggml.bos_token_id", EncodedValue::uint32(spec.bos));
    writer.set("tokenizer.ggml.eos_token_id", EncodedValue::uint32(spec.eos));
    writer.set("tokenizer.ggml.add_bos_token", EncodedValue::boolean(spec.add_bos));
}

}  // namespace reprise
