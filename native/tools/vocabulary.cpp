#include "vocabulary.h"

#include <array>
#include <cstring>
#include <map>
#include <string_view>

#include "core/error.h"
#include "gguf/gguf.h"
#include "tool.h"

namespace tool {

namespace {

enum TokenType : int32_t { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

template <class T>
T load(const uint8_t* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

/// The elements of an array of texts, whose lengths the reader has checked.
std::vector<std::string_view> texts(const reprise::Value& value) {
    std::vector<std::string_view> result;
    for (size_t at = 0; result.size() < value.count;) {
        const auto n = load<uint64_t>(value.data.data() + at);
        result.emplace_back(reinterpret_cast<const char*>(value.data.data()) + at + 8, n);
        at += 8 + n;
    }
    return result;
}

std::string utf8(uint32_t code_point) {  // below U+0800
    if (code_point < 0x80) return {static_cast<char>(code_point)};
    return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 63))};
}

/// GPT-2's alphabet (Radford et al. 2019, encoder.py): the printable bytes stand for themselves, the others are U+0100
/// and up.
std::map<std::string, char, std::less<>> byte_alphabet() {
    std::map<std::string, char, std::less<>> bytes;
    uint32_t n_others = 0;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        bytes[utf8(printable ? byte : 256 + n_others++)] = static_cast<char>(byte);
    }
    return bytes;
}

/// The text that a byte-level token stands for. Characters outside the alphabet stand for themselves.
std::string from_byte_level(std::string_view token) {
    static const auto alphabet = byte_alphabet();
    std::string result;
    for (size_t at = 0; at < token.size();) {
        const size_t n = static_cast<uint8_t>(token[at]) >= 0xc0 ? 2 : 1;
        const auto found = alphabet.find(token.substr(at, n));
        if (found != alphabet.end()) {
            result += found->second;
        } else {
            result += token.substr(at, n);
        }
        at += n;
    }
    return result;
}

/// The text that a SentencePiece token stands for.
std::string from_sentence_piece(std::string_view token, int32_t type) {
    if (type == BYTE) return {static_cast<char>(std::stoi(std::string(token.substr(3, 2)), nullptr, 16))};
    constexpr std::string_view SPACE = "\u2581";
    std::string result(token);
    for (size_t at; (at = result.find(SPACE)) != std::string::npos;) result.replace(at, SPACE.size(), " ");
    return result;
}

}  // namespace

Vocabulary open_vocabulary(const std::string& path, int32_t n_vocab) try {
    const auto file = reprise::GgufFile::open(path, true);
    const reprise::Value* tokens = file->find("tokenizer.ggml.tokens");
    const reprise::Value* types = file->find("tokenizer.ggml.token_type");
    const auto kind = file->get_string("tokenizer.ggml.model");
    const auto eos = file->get_uint("tokenizer.ggml.eos_token_id");
    if (tokens == nullptr || tokens->element_type != reprise::ValueType::STRING || !eos || types == nullptr ||
        types->element_type != reprise::ValueType::INT32 || types->count != tokens->count ||
        (kind != "gpt2" && kind != "llama"))
        die("%s has no vocabulary of kind gpt2 or llama with token types and an end token", path.c_str());
    std::string bytes;
    std::vector<uint64_t> offsets{0};
    std::vector<uint8_t> flags;
    const auto names = texts(*tokens);
    for (size_t id = 0; id < static_cast<size_t>(n_vocab); ++id) {
        const int32_t type = id < names.size() ? load<int32_t>(types->data.data() + id * 4) : UNUSED;
        const bool is_text = type == NORMAL || type == USER_DEFINED || type == BYTE;
        if (id < names.size()) {
            if (!is_text || type == USER_DEFINED) {
                bytes += names[id];
            } else {
                bytes += kind == "gpt2" ? from_byte_level(names[id]) : from_sentence_piece(names[id], type);
            }
        }
        offsets.push_back(bytes.size());
        flags.push_back(is_text ? 0 : REPRISE_TOKEN_SPECIAL);
    }
    Vocabulary result{0, {static_cast<int32_t>(*eos)}};
    check(reprise_vocabulary_open(reinterpret_cast<const uint8_t*>(bytes.data()), offsets.data(), flags.data(), n_vocab,
                                  result.end_ids.data(), result.end_ids.size(), &result.handle));
    return result;
} catch (const reprise::Error& error) {
    die("%s", error.what());
}

}  // namespace tool
