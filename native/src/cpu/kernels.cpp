#include "cpu/kernels.h"

#include <cpuid.h>

#include <cstdlib>

#include "core/error.h"
#include "cpu/isa_tables.h"

namespace reprise::cpu {
namespace {

struct Features {
    bool avx2 = false;        // AVX2, FMA and F16C
    bool avx512vnni = false;  // and AVX-512 F, BW, VL, DQ, VNNI
};

uint64_t enabled_state() {  // XCR0: which register files the operating system saves
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t{high} << 32 | low;
}

Features detect() {
    const auto bit = [](uint32_t word, int n) { return (word >> n & 1) != 0; };
    constexpr uint64_t kAvxState = 0x06, kAvx512State = 0xe6;  // XMM, YMM; opmask and ZMM
    Features features;
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return features;  // OSXSAVE
    const uint64_t state = enabled_state();
    const bool fma_f16c = bit(c, 12) && bit(c, 28) && bit(c, 29);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
    features.avx2 = fma_f16c && bit(b, 5) && (state & kAvxState) == kAvxState;
    features.avx512vnni = features.avx2 && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31) && bit(c, 11) &&
                          (state & kAvx512State) == kAvx512State;
    return features;
}

}  // namespace

std::vector<IsaEntry> instruction_sets() {
    const Features features = detect();
    return {{&kBaselineKernels, true}, {&kAvx2Kernels, features.avx2}, {&kAvx512VnniKernels, features.avx512vnni}};
}

const Kernels& choose_kernels(const char* wanted) {
    const std::vector<IsaEntry> sets = instruction_sets();
    std::string names;
    const Kernels* best = nullptr;
    for (const IsaEntry& set : sets) {
        if (!set.available) continue;
        if (wanted != nullptr && set.kernels->name == std::string(wanted)) return *set.kernels;
        names += (names.empty() ? "" : ", ") + std::string(set.kernels->name);
        best = set.kernels;
    }
    if (wanted == nullptr || *wanted == '\0') return *best;
    for (const IsaEntry& set : sets) {
        if (set.kernels->name == std::string(wanted)) {
            fail(REPRISE_INVALID_ARGUMENT, "REPRISE_CPU_ISA=%s: this machine lacks that instruction set; it has %s",
                 wanted, names.c_str());
        }
    }
    fail(REPRISE_INVALID_ARGUMENT, "REPRISE_CPU_ISA=%s is no instruction set that Reprise knows; this machine has %s",
         quoted(wanted).c_str(), names.c_str());
}

const Kernels& kernels() {
    static const Kernels& chosen = choose_kernels(std::getenv("REPRISE_CPU_ISA"));  // a wrong name throws at every call
    return chosen;
}

}  // namespace reprise::cpu
