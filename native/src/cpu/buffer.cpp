#include "cpu/buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "core/error.h"

namespace reprise::cpu {

namespace {

[[noreturn]] void fail_mapping(uint64_t n_bytes, const char* what) {
    fail(REPRISE_OUT_OF_MEMORY,
         "%s needs %llu bytes of memory that are not to be had: choose a smaller context or model", what,
         static_cast<unsigned long long>(n_bytes));
}

}  // namespace

Buffer::Buffer(uint64_t n_bytes, const char* what) : n_bytes_(n_bytes) {
    const uint64_t mapped = std::max<uint64_t>(n_bytes, 1);
    void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail_mapping(n_bytes, what);
    data_ = {static_cast<uint8_t*>(p), Unmap{mapped}};
}

void Buffer::Unmap::operator()(uint8_t* p) const { munmap(p, n_bytes); }

Region::Region(uint64_t n_bytes, uint64_t least, const char* what) : n_bytes_(std::max(n_bytes, least)) {
    // Without access it counts for no limit but that of addresses.
    for (;; n_bytes_ = std::max(n_bytes_ / 2, least)) {
        void* p = mmap(nullptr, n_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p != MAP_FAILED) {
            data_ = static_cast<uint8_t*>(p);
            return;
        }
        if (n_bytes_ == least) fail_mapping(least, what);
    }
}

Region::~Region() { munmap(data_, n_bytes_); }

bool Region::grow(uint64_t n_bytes) {
    if (n_bytes <= usable_) return true;
    if (mprotect(data_ + usable_, n_bytes - usable_, PROT_READ | PROT_WRITE) != 0) return false;
    usable_ = n_bytes;
    return true;
}

void Region::forget(uint64_t begin, uint64_t n_bytes) {
    // Memory that cannot be given back stays usable, which is no error.
    (void)madvise(data_ + begin, n_bytes, MADV_DONTNEED);
}

uint64_t available_memory() {
    uint64_t available = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    std::ifstream meminfo("/proc/meminfo");
    for (std::string key; meminfo >> key;) {
        uint64_t kib;
        if (key == "MemAvailable:" && meminfo >> kib) {
            available = std::min(available, kib << 10);
            break;
        }
        meminfo.ignore(256, '\n');
    }
    for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
        uint64_t limit;
        if (std::ifstream(path) >> limit) available = std::min(available, limit);  // "max": no number, no limit
    }
    return available;
}

}  // namespace reprise::cpu
