// How a block of the product of few rows divides its shared memory: stages of weights and x, and what LoRA's warps keep.
#pragma once

#include "kernels/gemm.h"
#include "kernels/lora_work.cuh"

namespace chorale::cuda {

inline constexpr int32_t kStreamBytes = 220 * 1024;  // as many stages as leave room for small kernels
inline constexpr int32_t kStageWeightBytes = kProductTile * kUnitInputs * 2;
__host__ __device__ constexpr int32_t StageBytes(int32_t rows) { return kStageWeightBytes + rows * kUnitInputs * 2; }
__host__ __device__ constexpr int32_t StagesMax(int32_t rows) { return kStreamBytes / StageBytes(rows); }

// What LoRA's warps keep, and a ring for each of them, at multiples of 256 bytes: a slot has 16 ranks of a tile, and x of a group.
inline constexpr int32_t kLoraSlotBytes = kLoraTileBytes + kLoraGroupRows * kLoraRowBytes;
inline constexpr int32_t kLoraStateBytes = (static_cast<int32_t>(sizeof(LoraWarpState)) + 255) / 256 * 256;
__host__ __device__ constexpr int32_t LoraRingBytes(int32_t rows, int32_t stages) {
  const int32_t room = ((kStreamBytes - stages * StageBytes(rows)) / kLoraWarps - kLoraStateBytes) / 256 * 256;
  const int32_t most = kLoraSlotsMax * kLoraSlotBytes;
  return room < most ? room : most;
}
__host__ __device__ constexpr int32_t LoraStagesMost(int32_t rows) {
  int32_t stages = StagesMax(rows);
  while (LoraRingBytes(rows, stages) < kLoraSlotBytes) --stages;
  return stages;
}

struct StreamStages {
  int32_t count;
  int32_t in_flight;  // how many are on their way at once when the inputs are there
};

// Beside LoRA, many stages fetch weights ahead while small kernels run; few leave more to its rings, and few in flight make what
// LoRA loads come sooner. A block whose adapters have many bytes has few stages, and so has one that ends soon, before LoRA does:
// the block chooses by what the step's tables say, since a recorded step is to be right for any adapters. `asked`: of stages,
// if not 0.
inline constexpr int32_t kBriefUnits = 32;  // of a block
__device__ __forceinline__ StreamStages LoraStages(int32_t rows, int32_t asked, int32_t units, int32_t block_units, const LoraSiteArgs& lora) {
  constexpr int32_t kInFlight = 4, kFewStages = 5;
  const auto stages = [&](int32_t count) {
    count = min(count, LoraStagesMost(rows));
    return StreamStages{count, count > kFewStages ? kInFlight : count};
  };
  if (asked > 0) return stages(asked);
  if (rows > 64) return stages(4);
  const int4 counts = *reinterpret_cast<const int4*>(lora.tables.counts + lora.site);
  const int32_t adapters = counts.x * LoraTiles(lora.columns) + counts.w, weights = units * 4;  // in 4 KiB
  if (block_units <= kBriefUnits) return stages(2 * adapters > weights ? 3 : 8 * adapters > weights ? 4 : kFewStages);
  return stages(adapters > weights ? 3 : rows > 32 || 8 * adapters > weights ? kFewStages : 8);
}

}  // namespace chorale::cuda
