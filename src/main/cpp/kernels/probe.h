// What the memory of the device can do: the roof that benchmarks are measured against.
#pragma once

#include "kernels/launch.h"

namespace chorale::cuda {

// Reads `bytes` (a multiple of 64 KiB) once. *sink is written only if a sum has a value that it never has.
void ReadOnce(Launcher& launcher, const void* data, int64_t bytes, uint32_t* sink);

}  // namespace chorale::cuda
