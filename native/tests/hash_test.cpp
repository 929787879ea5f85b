// The hash of saved sessions and model files, against the values of the reference implementation.
#include "core/hash.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace reprise {
namespace {

std::vector<uint8_t> some_bytes(size_t n) {
    std::vector<uint8_t> bytes(n);
    for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 3);
    return bytes;
}

// python3 -c 'import xxhash; print(xxhash.xxh64(bytes((i * 7 + 3) % 256 for i in range(n))).hexdigest())'
constexpr std::pair<size_t, uint64_t> KNOWN[] = {
    {0, 0xef46db3751d8e999},   {1, 0x1f25c8d0bc1f4bb6},    {3, 0x31d2363f52e564c9},  {4, 0x9bb64b7d66ee9fda},
    {7, 0x9a7b149959ce60d8},   {8, 0xdab99d95c6f90092},    {31, 0xa2aa5f33cc4a6119}, {32, 0x23c3c17ef790fd97},
    {33, 0x50a7cfc7ba588784},  {39, 0x880bbeea606e4b37},   {63, 0x5e3e54b431c7493c}, {64, 0x0eb64b3ef6eeb01f},
    {100, 0xa61f8d4c170fe531}, {1000, 0x5f235fa033f1a3fb},
};

TEST(Hash, IsXxh64) {
    EXPECT_EQ(0x44bc2cf5ad770999u, hash64("abc", 3));
    for (const auto& [n, expected] : KNOWN) EXPECT_EQ(expected, hash64(some_bytes(n).data(), n)) << n << " bytes";
}

TEST(Hash, DoesNotDependOnThePiecesThatBytesComeIn) {
    const std::vector<uint8_t> bytes = some_bytes(1000);
    for (const size_t piece : {1, 5, 31, 32, 33, 64, 100, 999}) {
        Hash64 hash;
        for (size_t at = 0; at < bytes.size(); at += piece) {
            hash.value();  // which changes nothing
            hash.add(bytes.data() + at, std::min(piece, bytes.size() - at));
        }
        EXPECT_EQ(KNOWN[13].second, hash.value()) << "in pieces of " << piece;
    }
}

}  // namespace
}  // namespace reprise
