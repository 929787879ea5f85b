// The file of a saved session. All numbers are little-endian:
//
//   preface        bytes of the caller's own; whoever reads the file says how many
//   header         HEADER_BYTES, as StateHeader says; the last eight bytes are their hash
//   history        [n_tokens] int32, the ids
//   logits         [n_vocab] float32 after the last token, where has_logits
//   KV cache       [n_layers][keys, values][n_evaluated][n_kv_heads] rows of head_dim values in kv_type, as GGUF has
//                  the type: the same whatever device it comes from; where layers differ, those that a layer has
//   states         [n_state_values] float32, recurrent states behind the evaluated tokens
//   hash           uint64 of all bytes between preface and here
//
// Hashes are XXH64 (core/hash.h). A change of any of this is another format version.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/hash.h"
#include "model/plan.h"

namespace reprise {

constexpr uint32_t STATE_FORMAT = 1;

struct StateHeader {
    static constexpr size_t HEADER_BYTES = 128;

    // Whose session it is.
    uint64_t fingerprint;
    std::string architecture;  // up to 32 bytes
    uint32_t n_vocab, n_layers, n_kv_heads, head_dim;
    bool exact;  // the arithmetic
    // How it was opened.
    TensorType kv_type;
    uint32_t context_length, prefill_chunk;
    // Of models whose layers differ or are recurrent; else 0.
    uint32_t other_position_bytes;  // of all keys and values at one position
    uint64_t n_state_values;
    // What it holds.
    uint32_t n_tokens;
    uint32_t n_evaluated;  // leading tokens that the KV cache holds
    bool has_logits;       // then all of them are evaluated

    uint64_t position_bytes() const;  // of the keys or the values of a layer at one position
    uint64_t file_bytes() const;      // of the whole file; of a header that passed the checks
};

/// Writes to a file without access for others beside path and moves it there when it is complete and on the disk: at
/// path, or where a symbolic link there leads to, is the old file or the whole new one, whatever happens. Every error
/// is REPRISE_IO.
class StateWriter {
  public:
    explicit StateWriter(const std::string& path);
    /// Removes what is not complete.
    ~StateWriter();
    StateWriter(const StateWriter&) = delete;
    StateWriter& operator=(const StateWriter&) = delete;

    /// First of all, or never.
    void write_preface(std::span<const uint8_t> bytes) { write_unhashed(bytes); }
    void write(const StateHeader& header);
    void write(std::span<const uint8_t> bytes);
    void write(const void* data, size_t n_bytes) { write({static_cast<const uint8_t*>(data), n_bytes}); }
    void commit();

  private:
    void write_unhashed(std::span<const uint8_t> bytes);

    const std::string path_;             // as given
    std::string place_;                  // without symbolic links
    std::string directory_, temporary_;  // temporary_ is empty once nothing is to be removed
    int descriptor_ = -1;
    Hash64 hash_;
};

/// Reads a file from behind its preface to its end. What is no saved session, is damaged, or comes from a newer version
/// is REPRISE_SESSION_FORMAT; a file that cannot be read REPRISE_IO. After the constructor the header is consistent in
/// itself and with the size of the file, so that no number in it makes anybody read or hold more than the file has.
class StateReader {
  public:
    StateReader(const std::string& path, uint64_t offset);
    ~StateReader();
    StateReader(const StateReader&) = delete;
    StateReader& operator=(const StateReader&) = delete;

    const std::string& path() const { return path_; }
    const StateHeader& header() const { return header_; }
    void read(std::span<uint8_t> bytes);
    void read(void* data, size_t n_bytes) { read({static_cast<uint8_t*>(data), n_bytes}); }
    /// After all else: compares the hash.
    void finish();
    [[noreturn]] void fail_damaged(const char* what) const;

  private:
    void open(uint64_t offset);
    void read_header();

    const std::string path_;
    int descriptor_ = -1;
    uint64_t size_ = 0;  // without the preface
    StateHeader header_{};
    Hash64 hash_;
};

}  // namespace reprise
