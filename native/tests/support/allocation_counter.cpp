#include "support/allocation_counter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> allocated = 0;
std::atomic<size_t> peak = 0;

void* count(void* memory) {
    if (!memory) throw std::bad_alloc();
    const size_t now = allocated += ::malloc_usable_size(memory);
    size_t before = peak;
    while (now > before && !peak.compare_exchange_weak(before, now)) {
    }
    return memory;
}

void release(void* memory) {
    allocated -= ::malloc_usable_size(memory);  // 0 for null
    std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return count(std::malloc(size ? size : 1)); }
void* operator new[](size_t size) { return count(std::malloc(size ? size : 1)); }
void* operator new(size_t size, std::align_val_t alignment) {
    const size_t to = static_cast<size_t>(alignment);
    return count(std::aligned_alloc(to, (size + to - 1) / to * to));
}
void* operator new[](size_t size, std::align_val_t alignment) { return operator new(size, alignment); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete[](void* memory, size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { release(memory); }

namespace reprise::test {

size_t allocated_bytes() { return allocated; }
size_t peak_allocated_bytes() { return peak; }
void reset_peak() { peak = allocated.load(); }

}  // namespace reprise::test
