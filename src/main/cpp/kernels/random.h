// Deterministic noise on the device: weights of dummy models and data of benchmarks.
#pragma once

#include "kernels/launch.h"

namespace chorale::cuda {

// data[i] = a bell-shaped number of this deviation that is a function of seed and i alone: that of base/noise.h.
void FillNormal(Launcher& launcher, Element element, void* data, int64_t count, uint64_t seed, float deviation);
// The numbers of a rectangle of a larger matrix: data[i] has the index first + i / cols * stride + i % cols.
struct NoiseCut {
  int64_t first = 0;
  int64_t cols = 1;
  int64_t stride = 1;
  bool in_quads() const { return first % 4 == 0 && cols % 4 == 0 && stride % 4 == 0; }  // what FillNormal needs
};
void FillNormal(Launcher& launcher, Element element, void* data, int64_t count, const NoiseCut& cut, uint64_t seed,
                float deviation);
void FillNormal(Launcher& launcher, float* data, int64_t count, uint64_t seed, float mean, float deviation);

}  // namespace chorale::cuda
