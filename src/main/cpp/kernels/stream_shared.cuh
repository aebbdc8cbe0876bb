// How a block of the product of few rows divides its shared memory: stages of weights and x, and rings for LoRA's tiles.
#pragma once

#include "kernels/gemm.h"
#include "kernels/lora_work.cuh"

namespace chorale::cuda {

inline constexpr int32_t kStreamBytes = 220 * 1024;  // as many stages as leave room for small kernels
inline constexpr int32_t kStageWeightBytes = kProductTile * kUnitInputs * 2;
__host__ __device__ constexpr int32_t StageBytes(int32_t rows) { return kStageWeightBytes + rows * kUnitInputs * 2; }
__host__ __device__ constexpr int32_t StagesMax(int32_t rows) { return kStreamBytes / StageBytes(rows); }

// Beside LoRA, many stages fetch weights ahead while small kernels run; few make what LoRA loads come sooner, and leave more to
// its rings. A block that ends soon, before LoRA does, has fewer, and so has one whose adapters have many bytes: the block
// chooses by what the step's tables say, since a recorded step is to be right for any adapters.
inline constexpr int32_t kLoraStagesLeast = 2, kLoraStagesMost = 6;
inline constexpr int32_t kBriefUnits = 32;  // of a block
__device__ __forceinline__ int32_t LoraStages(int32_t rows, int32_t units, int32_t block_units, const LoraSiteArgs& lora) {
  if (rows > 64) return 4;
  const int4 counts = *reinterpret_cast<const int4*>(lora.tables.counts + lora.site);
  const int32_t adapters = counts.x * LoraTiles(lora.columns) + counts.w, weights = units * 4;  // in 4 KiB
  if (block_units <= kBriefUnits) return 5 * adapters > weights ? 3 : 4;
  return 2 * adapters > weights ? 3 : 5;
}

__host__ __device__ constexpr int32_t LoraBytes(int32_t ring_bytes) {  // of a warp
  return ring_bytes + static_cast<int32_t>(sizeof(LoraWarpState));
}
__host__ __device__ constexpr int32_t LoraRingBytes(int32_t rows, int32_t stages) {
  constexpr int32_t kTile = static_cast<int32_t>(LoraWork::kTileBytes), kMost = kLoraSlotsMax * kTile;
  const int32_t room = (kStreamBytes - stages * StageBytes(rows)) / kLoraWarps - static_cast<int32_t>(sizeof(LoraWarpState));
  return room / kTile * kTile < kMost ? room / kTile * kTile : kMost;
}

}  // namespace chorale::cuda
