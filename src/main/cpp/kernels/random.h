// Deterministic noise on the device: weights of dummy models and data of benchmarks.
#pragma once

#include "kernels/launch.h"

namespace chorale::cuda {

// data[i] = a bell-shaped number of this deviation that is a function of seed and i alone: that of base/noise.h.
void FillNormal(Launcher& launcher, Element element, void* data, int64_t count, uint64_t seed, float deviation);
void FillNormal(Launcher& launcher, float* data, int64_t count, uint64_t seed, float mean, float deviation);

}  // namespace chorale::cuda
