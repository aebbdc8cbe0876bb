// What both passes of sampling share: the random numbers and their order.
#pragma once

#include "kernels/common.cuh"
#include "kernels/sample.h"

namespace chorale::cuda {

// Philox4x32-10 (Salmon et al., SC 2011).
__device__ __forceinline__ uint4 Philox4x32(uint64_t key, uint4 counter) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
#pragma unroll
  for (int32_t round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xd2511f53} * counter.x;
    const uint64_t product1 = uint64_t{0xcd9e8d57} * counter.z;
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter.y ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter.w ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9e3779b9;
    key1 += 0xbb67ae85;
  }
  return counter;
}

__device__ __forceinline__ uint4 RandomOfTokens(const SampleRow& row, int32_t token) {  // of token / 4 * 4 .. + 3
  return Philox4x32(static_cast<uint64_t>(row.seed),
                    {static_cast<uint32_t>(row.position), static_cast<uint32_t>(token) / 4, 0, 0});
}

// -log(-log(u)), u = (r + 1/2) / 2^32: as the specification has it, and near it (error below 3e-5).
__device__ __forceinline__ double Gumbel(uint32_t r) {
  return -log(-log((static_cast<double>(r) + 0.5) / 4294967296.0));
}
__device__ __forceinline__ float GumbelNear(uint32_t r) {
  constexpr float kStep = 1.0f / 4294967296.0f;
  float exponential;
  if (r < 0x80000000u) {
    exponential = -__logf((static_cast<float>(r) + 0.5f) * kStep);
  } else {  // u = 1 - w
    const float w = (static_cast<float>(~r) + 0.5f) * kStep;
    exponential = w < 0.0625f ? w * (1.0f + w * (0.5f + w * (1.0f / 3.0f + w * 0.25f))) : -__logf(1.0f - w);
  }
  return -__logf(exponential);
}
__device__ __forceinline__ float ScaledLogit(float logit, float max, float temperature) {
  return __fdiv_rn(__fsub_rn(logit, max), temperature);
}
// A token whose near score is lower than the best one's by more than this cannot have the best score.
__device__ __forceinline__ float NearMargin(float best) { return 1e-4f * fmaxf(1.0f, fabsf(best)); }

struct Scored {
  double score;
  int32_t id;
  float logit;
};
__device__ __forceinline__ bool Better(const Scored& a, const Scored& b) {
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}
__device__ __forceinline__ Scored WarpBest(Scored x) {
#pragma unroll
  for (int32_t mask = 16; mask > 0; mask >>= 1) {
    const Scored other = {__shfl_xor_sync(0xffffffffu, x.score, mask), __shfl_xor_sync(0xffffffffu, x.id, mask),
                          __shfl_xor_sync(0xffffffffu, x.logit, mask)};
    if (Better(other, x)) x = other;
  }
  return x;
}
inline constexpr int32_t kNoToken = 0x7fffffff;
__device__ __forceinline__ Scored NoScore() { return {-INFINITY, kNoToken, -INFINITY}; }

__device__ __forceinline__ float WarpMax(float x) {
#pragma unroll
  for (int32_t mask = 16; mask > 0; mask >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, mask));
  return x;
}

}  // namespace chorale::cuda
