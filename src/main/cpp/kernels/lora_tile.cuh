// The tiles of A and B in an adapter's pages, as the LoRA kernels read them.
#pragma once

#include "kernels/common.cuh"
#include "kernels/lora.h"

namespace chorale::cuda {

inline constexpr int32_t kLoraTile = 128;  // columns

// Elements of a row of the tile: 128, but in the last tile the least power of two from 16 on that holds the rest.
__device__ __forceinline__ int32_t LoraTileWidth(int32_t columns, int32_t tile) {
  const int32_t used = min(kLoraTile, columns - tile * kLoraTile);
  return used > 64 ? 128 : used > 32 ? 64 : used > 16 ? 32 : 16;
}

// Row `rank_row` of tile `tile` of the matrix at `offset`; rows never straddle slices, tiles may.
__device__ __forceinline__ const uint8_t* LoraTileRow(const LoraPool& pool, const int32_t* pages, int32_t layer,
                                                      uint32_t offset, int32_t rank, int32_t columns, int32_t tile,
                                                      int32_t rank_row) {
  const uint32_t place = offset + static_cast<uint32_t>(tile * kLoraTile * rank * 2) +
                         static_cast<uint32_t>(rank_row * LoraTileWidth(columns, tile) * 2);
  const uint32_t page = place / pool.slice_bytes;
  return pool.pages + pages[page] * pool.page_bytes + static_cast<int64_t>(layer) * pool.slice_bytes +
         (place - page * pool.slice_bytes);
}

// Tiles of the outputs of all targets.
inline int32_t LoraTilesOf(const int32_t (&outputs)[kLoraSiteTargets], int32_t targets) {
  int32_t tiles = 0;
  for (int32_t t = 0; t < targets; ++t) tiles += (outputs[t] + kLoraTile - 1) / kLoraTile;
  return tiles;
}

// Of targets whose outputs lie side by side, the one that has the tile `index` of them all.
struct LoraTargetTile {
  int32_t target = 0, tile, first, outputs;  // which of the target's tiles; the target's first column, and its columns

  __device__ __forceinline__ LoraTargetTile(const int32_t (&of_targets)[kLoraSiteTargets], int32_t index, int32_t first_output = 0)
      : tile(index), first(first_output), outputs(of_targets[0]) {
#pragma unroll
    for (int32_t t = 0; t + 1 < kLoraSiteTargets; ++t) {
      const int32_t tiles = (outputs + kLoraTile - 1) / kLoraTile;
      if (target != t || tile < tiles) continue;
      tile -= tiles;
      first += outputs;
      outputs = of_targets[t + 1];
      target = t + 1;
    }
  }
};

}  // namespace chorale::cuda
