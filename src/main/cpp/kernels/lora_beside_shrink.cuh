// v = A x beside a product, by one warp.
#pragma once

#include "kernels/lora_work.cuh"

namespace chorale::cuda {

// A x goes in units of 16 ranks and 512 or 1,024 inputs, dealt out in turn; who has finished some counts them for their groups.
template <typename T>
class LoraShrinkWork : public LoraWork {
 public:
  __device__ __forceinline__ LoraShrinkWork(const LoraWork& work, int32_t ring_bytes)
      : LoraWork(work), ring_rows_(ring_bytes / kRowBytes) {}

  // The units first, first + step, ...: looks the first of them up and lets their part of A come.
  __device__ __forceinline__ void Begin(int32_t first, int32_t step) {
    next_ = first;
    step_ = step;
    total_ = counts_.x * splits_;
    if (next_ < total_) FillBatch();
  }

  // Lets their x come as well.
  __device__ __forceinline__ void CopyInputs() {
    copied_ = {};
#pragma unroll 1
    for (int32_t i = 0; i < begun_; ++i) {
      CopyX(copied_, i);
      CommitCopies();
      Advance(copied_);
    }
  }

  __device__ __forceinline__ void Run() {
#pragma unroll 1
    while (next_ < total_) {
      RunBatch();
      next_ += kLoraUnits * step_;
      if (next_ < total_) {
        FillBatch();
        CopyInputs();
      }
    }
  }

 private:
  struct UnitTile {
    int32_t unit = 0, tile = 0;
  };

  __device__ __forceinline__ int32_t BatchCount() const { return min(kLoraUnits, (total_ - next_ + step_ - 1) / step_); }

  // A slot of the ring has the rows of a tile of A and of x that the batch has at most: few rows make many slots.
  __device__ __forceinline__ void FillBatch() {
    const int32_t count = BatchCount();
    int32_t a_rows = 1, x_rows = 1;
    __syncwarp();
    if (lane_ < count) {
      const LoraUnit unit = FindUnit(next_ + lane_ * step_);
      a_rows = min(kLoraChunk, unit.rank - unit.rank_begin);
      x_rows = unit.row_count;
      state_.units[lane_] = unit;
    }
    a_rows_ = static_cast<int32_t>(__reduce_max_sync(0xffffffffu, a_rows));
    x_rows_ = static_cast<int32_t>(__reduce_max_sync(0xffffffffu, x_rows));
    slots_ = ring_rows_ / (a_rows_ + x_rows_);
    __syncwarp();
    UnitTile place;
#pragma unroll 1
    for (begun_ = 0; begun_ < slots_ && place.unit < count; ++begun_) {
      CopyA(place, begun_);
      Advance(place);
    }
  }

  __device__ __forceinline__ void RunBatch() {
    const int32_t count = BatchCount();
    UnitTile place = copied_;
    // What a lane reads: rows that the slot does not have meet no others, so any will do for them.
    const int32_t matrix = lane_ / 8, line = lane_ % 8;
    const int32_t x_row = min(matrix % 2 * 8 + line, x_rows_ - 1), a_row = min(matrix / 2 * 8 + line, a_rows_ - 1);
    int32_t ahead = begun_, slot = 0;  // tiles under way
#pragma unroll 1
    for (int32_t i = 0; i < count; ++i) {
      float d[2][2][4] = {};
      const int32_t tiles = state_.units[i].tile_count;
#pragma unroll 1
      for (int32_t tile = 0; tile < tiles; ++tile) {
        WaitForAllBut(ahead - 1);
        __syncwarp();
        const uint32_t a_line = Slot(slot) + a_row * kRowBytes, x_line = Slot(slot) + (a_rows_ + x_row) * kRowBytes;
#pragma unroll 1
        for (int32_t half = 0; half < 2; ++half) {
          uint32_t rows[4][4], ranks[4][4];
#pragma unroll
          for (int32_t j = 0; j < 4; ++j) {
            const int32_t k = half * 4 + j;
            LoadMatrices(rows[j], x_line + (((2 * k + matrix / 2) ^ (x_row % 8)) * 16));
            LoadMatrices(ranks[j], a_line + (((2 * k + matrix % 2) ^ (a_row % 8)) * 16));
          }
#pragma unroll
          for (int32_t j = 0; j < 4; ++j) {
            Mma<T>(d[j % 2][0], rows[j][0], rows[j][1], rows[j][2], rows[j][3], ranks[j][0], ranks[j][1]);
            Mma<T>(d[j % 2][1], rows[j][0], rows[j][1], rows[j][2], rows[j][3], ranks[j][2], ranks[j][3]);
          }
        }
        __syncwarp();
        if (place.unit < count) {
          CopyA(place, slot);
          CopyX(place, slot);
          CommitCopies();
          Advance(place);
        } else {
          --ahead;
        }
        slot = slot + 1 == slots_ ? 0 : slot + 1;
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
          *reinterpret_cast<float2*>(v + row * unit.v_cols + rank) = {d[0][n][side * 2] + d[1][n][side * 2],
                                                                      d[0][n][side * 2 + 1] + d[1][n][side * 2 + 1]};
        }
      }
    }
    __syncwarp();
    if (lane_ < count) AddRelease(args_.ready + state_.units[lane_].group, 1);
  }

  __device__ __forceinline__ uint32_t Slot(int32_t slot) const {
    return ring_ + static_cast<uint32_t>(slot * (a_rows_ + x_rows_)) * kRowBytes;
  }

  __device__ __forceinline__ LoraUnit FindUnit(int32_t index) const {
    const int32_t split = index % splits_;
    const LoraChunk chunk = Entry(args_.tables.chunks, index / splits_);
    LoraUnit unit;
    unit.pages = chunk.pages;
    unit.offset = chunk.offset;
    unit.rank = chunk.rank;
    unit.rank_begin = chunk.rank_begin;
    const int32_t tiles = LoraSplitInputs(args_.columns) / kLoraTile;
    unit.tile_begin = split * tiles;
    unit.tile_count = min(tiles, (args_.columns + kLoraTile - 1) / kLoraTile - unit.tile_begin);
    unit.row_begin = chunk.row_begin;
    unit.row_count = chunk.row_count;
    unit.v_place = chunk.v_place + split * chunk.row_count * chunk.v_cols;
    unit.v_cols = chunk.v_cols;
    unit.group = chunk.group;
    const uint32_t begin = unit.offset + static_cast<uint32_t>(unit.tile_begin * kLoraTile * unit.rank * 2);
    const uint32_t end = begin + static_cast<uint32_t>(unit.tile_count * kLoraTile * unit.rank * 2) - 1;
    unit.page_begin = PageOf(begin);
    const int32_t last = min(PageOf(end), PageOf(unit.offset + MatrixBytes(unit.rank, args_.columns) - 1));
#pragma unroll
    for (int32_t i = 0; i < kLoraUnitPages; ++i) unit.page_ids[i] = unit.pages[min(unit.page_begin + i, last)];
    return unit;
  }

  __device__ __forceinline__ void Advance(UnitTile& place) const {
    if (++place.tile < state_.units[place.unit].tile_count) return;
    ++place.unit;
    place.tile = 0;
  }
  // Ranks that the unit does not have are neither copied nor written: they meet no others. So for rows of x.
  __device__ __forceinline__ void CopyA(const UnitTile& place, int32_t slot) const {
    const LoraUnit& unit = state_.units[place.unit];
    const int32_t count = min(kLoraChunk, unit.rank - unit.rank_begin);
    CopyTile(Slot(slot), unit.offset, unit.rank, unit.rank_begin, count, count,
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
    const uint32_t target = Slot(slot) + a_rows_ * kRowBytes;
    source += lane_ / 16 * args_.inputs;
#pragma unroll 2
    for (int32_t j = lane_ / 16; j < unit.row_count; j += 2, source += 2 * args_.inputs) CopyAsync16(Place(target, j), source, valid);
  }

  const int32_t ring_rows_;
  int32_t next_ = 0, step_ = 0, total_ = 0;  // the units that are still to do, every step-th
  int32_t a_rows_ = 0, x_rows_ = 0, slots_ = 0;
  int32_t begun_ = 0;                        // tiles of the batch whose A has been asked for
  UnitTile copied_;                          // the first tile whose x has not
};

}  // namespace chorale::cuda
