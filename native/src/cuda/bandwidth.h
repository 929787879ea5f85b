// The ceiling that decoding is measured against.
#pragma once

namespace reprise {

/// Bytes per second that the device reads from its memory, measured with plain wide loads over several times the L2
/// cache; 0 where there is no CUDA device or no memory left.
double measure_read_bandwidth(int device_index);

}  // namespace reprise
