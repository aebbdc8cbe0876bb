// v = A x beside a product, by one warp.
#pragma once

#include "kernels/lora_work.cuh"

namespace chorale::cuda {

// A x goes in units of 16 ranks and 512 or 1,024 inputs, dealt out in turn; who has finished one counts it for the group.
template <typename T>
class LoraShrinkWork : public LoraWork {
 public:
  __device__ __forceinline__ explicit LoraShrinkWork(const LoraWork& work) : LoraWork(work) {}

  // The units first, first + step, ...
  __device__ __forceinline__ void Run(int32_t first, int32_t step) {
    const int32_t total = groups_ > 0 ? state_.shrink_end[groups_ - 1] * splits_ : 0;
#pragma unroll 1
    for (int32_t batch = first; batch < total; batch += kLoraUnits * step) {
      const int32_t count = min(kLoraUnits, (total - batch + step - 1) / step);
      __syncwarp();
      if (lane_ < count) state_.units[lane_] = FindUnit(batch + lane_ * step);
      __syncwarp();
      UnitTile next;
#pragma unroll 1
      for (int32_t slot = 0; slot < kShrinkSlots - 1 && next.unit < count; ++slot) {
        CopyA(next, slot);
        Advance(next);
      }
      if (batch == first) WaitForPredecessor();
      next = {};
#pragma unroll 1
      for (int32_t slot = 0; slot < kShrinkSlots - 1; ++slot) {
        if (next.unit < count) {
          CopyX(next, slot);
          Advance(next);
        }
        CommitCopies();
      }
      int32_t slot = 0;
#pragma unroll 1
      for (int32_t i = 0; i < count; ++i) {
        float d[2][4] = {};
        const int32_t tiles = state_.units[i].tile_count;
#pragma unroll 1
        for (int32_t tile = 0; tile < tiles; ++tile) {
          WaitForCopies<kShrinkSlots - 2>();
          __syncwarp();
          if (next.unit < count) {  // into the slot that was computed last
            const int32_t free_slot = slot == 0 ? kShrinkSlots - 1 : slot - 1;
            CopyA(next, free_slot);
            CopyX(next, free_slot);
            Advance(next);
          }
          CommitCopies();
          const uint32_t a_tile = ring_ + static_cast<uint32_t>(slot) * 2 * kTileBytes, x_tile = a_tile + kTileBytes;
          const int32_t matrix = lane_ / 8, line = lane_ % 8;
#pragma unroll
          for (int32_t k = 0; k < kLoraTile / 16; ++k) {
            uint32_t rows[4], ranks[4];
            LoadMatrices(rows, x_tile + (matrix % 2 * 8 + line) * kRowBytes + (((2 * k + matrix / 2) ^ line) * 16));
            LoadMatrices(ranks, a_tile + (matrix / 2 * 8 + line) * kRowBytes + (((2 * k + matrix % 2) ^ line) * 16));
            Mma<T>(d[0], rows[0], rows[1], rows[2], rows[3], ranks[0], ranks[1]);
            Mma<T>(d[1], rows[0], rows[1], rows[2], rows[3], ranks[2], ranks[3]);
          }
          slot = slot + 1 == kShrinkSlots ? 0 : slot + 1;
        }
        const LoraUnit& unit = state_.units[i];
        float* v = args_.v + unit.v_place;
#pragma unroll
        for (int32_t n = 0; n < 2; ++n) {
          const int32_t rank = n * 8 + lane_ % 4 * 2;
          if (unit.rank_begin + rank >= unit.rank) continue;
#pragma unroll
          for (int32_t side = 0; side < 2; ++side) {
            const int32_t row = lane_ / 4 + side * 8;
            if (row >= unit.row_count) continue;
            *reinterpret_cast<float2*>(v + row * unit.v_cols + rank) = {d[n][side * 2], d[n][side * 2 + 1]};
          }
        }
        __syncwarp();
        if (lane_ == 0) AddRelease(args_.ready + unit.group, 1);
      }
      WaitForCopies<0>();
    }
  }

 private:
  static constexpr int32_t kShrinkSlots = kSlots / 2;  // of a tile of A and a tile of x

  __device__ __forceinline__ LoraUnit FindUnit(int32_t index) const {
    const int32_t split = index % splits_;
    const int32_t place = index / splits_, g = FindLoraGroup(state_.shrink_end, groups_, place);
    int32_t chunk = place - (g > 0 ? state_.shrink_end[g - 1] : 0), v_col = chunk * kLoraChunk;
    const LoraGroup group = args_.groups[g];
    LoraUnit unit{};
    for (int32_t u = group.use_begin; u < group.use_end && unit.rank == 0; ++u) {
      const LoraUse use = args_.uses[u];
      for (int32_t t = 0; t < args_.targets; ++t) {
        const LoraMatrix matrix = MatrixOf(use, t);
        const int32_t own = LoraColumns(matrix.rank) / kLoraChunk;
        if (chunk < own) {
          unit.pages = use.pages;
          unit.offset = matrix.a_offset;
          unit.rank = matrix.rank;
          unit.rank_begin = chunk * kLoraChunk;
          break;
        }
        chunk -= own;
      }
    }
    const int32_t tiles = LoraSplitInputs(args_.columns) / kLoraTile;
    unit.tile_begin = split * tiles;
    unit.tile_count = min(tiles, (args_.columns + kLoraTile - 1) / kLoraTile - unit.tile_begin);
    unit.row_begin = group.row_begin;
    unit.row_count = group.row_count;
    unit.v_place = group.v_offset + split * group.row_count * group.v_cols + v_col;
    unit.v_cols = group.v_cols;
    unit.group = g;
    if (unit.rank > 0) {
      const uint32_t begin = unit.offset + static_cast<uint32_t>(unit.tile_begin * kLoraTile * unit.rank * 2);
      const uint32_t end = begin + static_cast<uint32_t>(unit.tile_count * kLoraTile * unit.rank * 2) - 1;
      unit.page_begin = PageOf(begin);
      const int32_t last = min(PageOf(end), PageOf(unit.offset + MatrixBytes(unit.rank, args_.columns) - 1));
#pragma unroll
      for (int32_t i = 0; i < kLoraUnitPages; ++i) unit.page_ids[i] = unit.pages[min(unit.page_begin + i, last)];
    }
    return unit;
  }

  struct UnitTile {
    int32_t unit = 0, tile = 0;
  };
  __device__ __forceinline__ void Advance(UnitTile& place) const {
    if (++place.tile < state_.units[place.unit].tile_count) return;
    ++place.unit;
    place.tile = 0;
  }
  // Ranks that the unit does not have are neither copied nor written: they meet no others. So for rows of x.
  __device__ __forceinline__ void CopyA(const UnitTile& place, int32_t slot) const {
    const LoraUnit& unit = state_.units[place.unit];
    const int32_t count = min(kLoraChunk, unit.rank - unit.rank_begin);
    CopyTile(ring_ + static_cast<uint32_t>(slot) * 2 * kTileBytes, unit.offset, unit.rank, unit.rank_begin, count, count,
             args_.columns, unit.tile_begin + place.tile, [&](int32_t page) {
               const int32_t index = page - unit.page_begin;
               return index < kLoraUnitPages ? unit.page_ids[index] : unit.pages[page];
             });
  }
  __device__ __forceinline__ void CopyX(const UnitTile& place, int32_t slot) const {
    const LoraUnit& unit = state_.units[place.unit];
    const int32_t k = (unit.tile_begin + place.tile) * kLoraTile + lane_ % 16 * 8;
    const bool valid = k < args_.inputs;
    const T* source = static_cast<const T*>(args_.x) + static_cast<int64_t>(unit.row_begin) * args_.inputs + (valid ? k : 0);
    for (int32_t j = lane_ / 16; j < unit.row_count; j += 2) {
      CopyAsync16(Place(ring_ + static_cast<uint32_t>(2 * slot + 1) * kTileBytes, j), source + j * args_.inputs, valid);
    }
  }
};

}  // namespace chorale::cuda
