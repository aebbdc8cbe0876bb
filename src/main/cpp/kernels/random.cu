#include "kernels/random.h"

#include <algorithm>

#include "base/noise.h"
#include "kernels/sample.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 256;

// Computes   data[i], of index k of the whole matrix: four numbers from each Philox block, counter k / 4, key seed
//            (base/noise.h)
// Grid       a thread makes 4 neighbouring numbers at a time, blocks take turns
// Bound by   arithmetic, about 15 instructions a number
// Reference  Noise::Fill, to the bit where mean or deviation is zero
template <typename T>
__global__ void __launch_bounds__(kThreads) FillNormalKernel(T* data, const int64_t count, const NoiseCut cut,
                                                             const uint64_t seed, const float mean, const float unit) {
  AllowSuccessor();
  WaitForPredecessor();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * 4;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 4; i < count; i += step) {
    const uint64_t block = static_cast<uint64_t>(cut.first + i / cut.cols * cut.stride + i % cut.cols) / 4;
    const uint4 r = Philox4x32(seed, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0});
    const uint32_t words[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
    for (int32_t j = 0; j < 4; ++j) {
      if (i + j >= count) continue;
      const auto sum = static_cast<int32_t>(__dp4a(words[j], 0x01010101u, 0u)) - kNoiseMiddle;
      const float value = fmaf(static_cast<float>(sum), unit, mean);
      if constexpr (sizeof(T) == 4) {
        data[i + j] = value;
      } else {
        data[i + j] = FromFloat<T>(value);
      }
    }
  }
}

// A multiple of four that holds all: then every index is its own.
NoiseCut Whole(int64_t count) { return {.cols = (count + 3) / 4 * 4, .stride = (count + 3) / 4 * 4}; }

int32_t BlocksFor(int64_t count) {
  return static_cast<int32_t>(std::min<int64_t>((count + kThreads * 4 - 1) / (kThreads * 4), 8192));
}

}  // namespace

void FillNormal(Launcher& launcher, Element element, void* data, int64_t count, const NoiseCut& cut, uint64_t seed,
                float deviation) {
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    launcher.Launch(FillNormalKernel<T>, dim3(BlocksFor(count)), dim3(kThreads), 0, static_cast<T*>(data), count, cut,
                    seed, 0.0f, deviation / kNoiseDeviation);
  });
}

void FillNormal(Launcher& launcher, Element element, void* data, int64_t count, uint64_t seed, float deviation) {
  FillNormal(launcher, element, data, count, Whole(count), seed, deviation);
}

void FillNormal(Launcher& launcher, float* data, int64_t count, uint64_t seed, float mean, float deviation) {
  launcher.Launch(FillNormalKernel<float>, dim3(BlocksFor(count)), dim3(kThreads), 0, data, count, Whole(count), seed, mean,
                  deviation / kNoiseDeviation);
}

}  // namespace chorale::cuda
