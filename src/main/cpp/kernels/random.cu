#include "kernels/random.h"

#include <algorithm>

#include "kernels/sample.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 256;

// Computes   data[i]: four numbers from each Philox block (Box-Muller), counter i / 4, key seed
// Grid       a thread makes 4 neighbouring numbers at a time, blocks take turns
// Bound by   arithmetic, about 20 instructions a number
template <typename T>
__global__ void __launch_bounds__(kThreads) FillNormalKernel(T* data, const int64_t count, const uint64_t seed,
                                                             const float mean, const float deviation) {
  AllowSuccessor();
  WaitForPredecessor();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * 4;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 4; i < count; i += step) {
    const uint64_t block = static_cast<uint64_t>(i) / 4;
    const uint4 r = Philox4x32(seed, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0});
    const uint32_t words[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
    for (int32_t pair = 0; pair < 2; ++pair) {
      constexpr float kUnit = 1.0f / 4294967296.0f;
      const float u = fmaf(static_cast<float>(words[pair * 2]), kUnit, 0.5f * kUnit);
      const float radius = sqrtf(-2.0f * __logf(u)) * deviation;
      float sine, cosine;
      __sincosf(6.2831853f * kUnit * static_cast<float>(words[pair * 2 + 1]), &sine, &cosine);
      const float values[2] = {mean + radius * cosine, mean + radius * sine};
#pragma unroll
      for (int32_t j = 0; j < 2; ++j) {
        const int64_t place = i + pair * 2 + j;
        if (place >= count) continue;
        if constexpr (sizeof(T) == 4) {
          data[place] = values[j];
        } else {
          data[place] = FromFloat<T>(values[j]);
        }
      }
    }
  }
}

int32_t BlocksFor(int64_t count) {
  return static_cast<int32_t>(std::min<int64_t>((count + kThreads * 4 - 1) / (kThreads * 4), 8192));
}

}  // namespace

void FillNormal(Launcher& launcher, Element element, void* data, int64_t count, uint64_t seed, float deviation) {
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    launcher.Launch(FillNormalKernel<T>, dim3(BlocksFor(count)), dim3(kThreads), 0, static_cast<T*>(data), count, seed,
                    0.0f, deviation);
  });
}

void FillNormal(Launcher& launcher, float* data, int64_t count, uint64_t seed, float mean, float deviation) {
  launcher.Launch(FillNormalKernel<float>, dim3(BlocksFor(count)), dim3(kThreads), 0, data, count, seed, mean,
                  deviation);
}

}  // namespace chorale::cuda
