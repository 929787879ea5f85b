// Counts what operator new hands out in the test program.
#pragma once

#include <cstddef>

namespace reprise::test {

/// Bytes allocated now, and the most that were at once since reset_peak().
size_t allocated_bytes();
size_t peak_allocated_bytes();
void reset_peak();

}  // namespace reprise::test
