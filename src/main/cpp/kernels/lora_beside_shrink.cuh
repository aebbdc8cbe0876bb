// v = A x beside a product, by one warp.
#pragma once

#include "kernels/lora_work.cuh"

namespace chorale::cuda {

// A x goes in units of 16 ranks and 512 or 1,024 inputs, dealt out in turn; who has finished some counts them for their groups.
// Ranks are the rows of m16 and the group's rows the columns of n8. Which inputs meet in a k does not matter, so that a lane has 8
// neighbouring ones at a time.
template <typename T>
class LoraShrinkWork : public LoraWork {
 public:
  explicit __device__ __forceinline__ LoraShrinkWork(const LoraWork& work) : LoraWork(work) {}

  // The units first, first + step, ...: looks the first of them up and lets their part of A come.
  __device__ __forceinline__ void Begin(int32_t first, int32_t step) {
    next_ = first;
    step_ = step;
    total_ = counts_.x * splits_;
    if (next_ < total_) BeginBatch();
  }

  // Returns in which phases the ring's barriers are.
  __device__ __forceinline__ uint32_t Run() {
#pragma unroll 1
    while (next_ < total_) {
      RunBatch();
      next_ += kLoraUnits * step_;
      if (next_ < total_) BeginBatch();
    }
    return phases_;
  }

 private:
  struct Place {  // of a tile of the batch
    int32_t unit = 0, tile = 0;
  };

  // A slot of the ring has a tile of A and of x, of as many rows as the batch has at most.
  __device__ __forceinline__ void BeginBatch() {
    const int32_t count = min(kLoraUnits, (total_ - next_ + step_ - 1) / step_);
    int32_t tiles = 0, x_rows = 0;
    __syncwarp();
    if (lane_ < count) {
      const LoraUnit unit = FindUnit(next_ + lane_ * step_);
      tiles = unit.tile_count;
      x_rows = unit.row_count;
      state_.units[lane_] = unit;
    }
    units_ = count;
    __syncwarp();
    tiles_left_ = to_load_ = static_cast<int32_t>(__reduce_add_sync(0xffffffffu, static_cast<uint32_t>(tiles)));
    x_rows_ = static_cast<int32_t>(__reduce_max_sync(0xffffffffu, static_cast<uint32_t>(x_rows)));
    slot_bytes_ = kLoraTileBytes + x_rows_ * kLoraRowBytes;
    slots_ = min(kLoraSlotsMax, ring_bytes_ / slot_bytes_);
    load_ = {};
#pragma unroll 1
    for (begun_ = 0; begun_ < min(slots_, tiles_left_); ++begun_) {
      CopyA(load_, Slot(begun_));
      Advance(load_);
    }
    to_load_ -= begun_;
  }

  __device__ __forceinline__ void RunBatch() {
    Place place;
#pragma unroll 1
    for (int32_t i = 0; i < begun_; ++i) {
      CopyX(place, Slot(i));
      Asked(i);
      Advance(place);
    }
    place = {};
    float d[2][4] = {};
    // What a lane reads: rows that the slot does not have are its last one, and not stored.
    const auto place_of = [&](int32_t row) { return static_cast<uint32_t>(row * kLoraRowBytes + ((lane_ % 4 * 16) ^ (row % 2 * 64))); };
    const uint32_t own_a = place_of(lane_ / 4), own_x = kLoraTileBytes + place_of(min(lane_ / 4, x_rows_ - 1));
    int32_t slot = 0;
#pragma unroll 1
    while (tiles_left_ > 0) {
      Await(slot);
      const uint32_t a = Slot(slot) + own_a, x = Slot(slot) + own_x;
      uint4 low[4], high[4], rows[4];
#pragma unroll
      for (int32_t i = 0; i < 4; ++i) {
        low[i] = LoadShared16(a ^ (i * 64));
        high[i] = LoadShared16((a ^ (i * 64)) + kLoraTileBytes / 2);
        rows[i] = LoadShared16(x ^ (i * 64));
      }
#pragma unroll
      for (int32_t i = 0; i < 4; ++i) {
        Mma<T>(d[0], low[i].x, high[i].x, low[i].y, high[i].y, rows[i].x, rows[i].y);
        Mma<T>(d[1], low[i].z, high[i].z, low[i].w, high[i].w, rows[i].z, rows[i].w);
      }
      __syncwarp();
      if (to_load_ > 0) {
        CopyA(load_, Slot(slot));
        CopyX(load_, Slot(slot));
        Asked(slot);
        Advance(load_);
        --to_load_;
      }
      if (++slot == slots_) slot = 0;
      const int32_t unit = place.unit;
      Advance(place);
      --tiles_left_;
      if (place.unit != unit) Store(state_.units[unit], d);
      __syncwarp();
    }
    __syncwarp();
    if (lane_ < units_) AddRelease(args_.ready + state_.units[lane_].group, 1);
  }
  __device__ __forceinline__ uint32_t Slot(int32_t slot) const { return ring_ + static_cast<uint32_t>(slot * slot_bytes_); }

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
    unit.tile_count = min(tiles, LoraTiles(args_.columns) - unit.tile_begin);
    unit.row_begin = chunk.row_begin;
    unit.row_count = chunk.row_count;
    unit.v_place = chunk.v_place + split * chunk.row_count * chunk.v_cols;
    unit.v_cols = chunk.v_cols;
    unit.group = chunk.group;
    unit.page_begin = PageOf(TileStart(unit.offset, unit.rank, unit.tile_begin));
    const int32_t last = PageOf(unit.offset + MatrixBytes(unit.rank, args_.columns) - 1);
#pragma unroll
    for (int32_t i = 0; i < kLoraUnitPages; ++i) unit.page_ids[i] = unit.pages[min(unit.page_begin + i, last)];
    return unit;
  }
  static __device__ __forceinline__ int32_t PageId(const LoraUnit& unit, int32_t page) {
    const int32_t index = page - unit.page_begin;
    return index < kLoraUnitPages ? unit.page_ids[index] : unit.pages[page];
  }

  __device__ __forceinline__ void Advance(Place& place) const {
    if (++place.tile < state_.units[place.unit].tile_count) return;
    ++place.unit;
    place.tile = 0;
  }

  // Ranks that the unit does not have are not stored, and what there is in their place does not count; so for rows of x. In a
  // tile of fewer columns those beyond are others of the rank, which meet zeros of x.
  __device__ __forceinline__ void CopyA(const Place& place, uint32_t slot) const {
    const LoraUnit& unit = state_.units[place.unit];
    const int32_t index = unit.tile_begin + place.tile;
    const uint32_t pitch = static_cast<uint32_t>(LoraTileWidth(args_.columns, index)) * 2;
    CopyRanks<false>(slot, TileStart(unit.offset, unit.rank, index) + static_cast<uint32_t>(unit.rank_begin) * pitch, pitch,
              min(kLoraChunk, unit.rank - unit.rank_begin), [&](int32_t page) { return PageId(unit, page); },
              [&](int32_t) { return static_cast<uint32_t>(lane_ / 16 * 64); });
  }
  __device__ __forceinline__ void CopyX(const Place& place, uint32_t slot) const {
    const LoraUnit& unit = state_.units[place.unit];
    const int32_t column = (unit.tile_begin + place.tile) * kLoraTile + lane_ % 16 * 8, odd = lane_ / 16;
    const bool valid = column < args_.inputs;
    const T* source = static_cast<const T*>(args_.x) + (unit.row_begin + odd) * args_.inputs + (valid ? column : 0);
    const uint32_t target = slot + kLoraTileBytes + static_cast<uint32_t>(odd * kLoraRowBytes + ((lane_ % 16 * 16) ^ (odd * 64)));
#pragma unroll
    for (int32_t j = 0; j < 4; ++j) {
      if (2 * j >= unit.row_count) break;
      if (2 * j + odd < unit.row_count) CopyAsync16(target + j * 2 * kLoraRowBytes, source + j * 2 * args_.inputs, valid);
    }
  }

  // Stores the sums of a unit, and begins anew.
  __device__ __forceinline__ void Store(const LoraUnit& unit, float (&d)[2][4]) const {
    float* v = args_.v + unit.v_place;
    const int32_t ranks = unit.rank - unit.rank_begin;
#pragma unroll
    for (int32_t j = 0; j < 4; ++j) {
      const int32_t rank = lane_ / 4 + j / 2 * 8, row = lane_ % 4 * 2 + j % 2;
      if (rank < ranks && row < unit.row_count) v[row * unit.v_cols + rank] = d[0][j] + d[1][j];
      d[0][j] = d[1][j] = 0.0f;
    }
  }

  int32_t next_ = 0, step_ = 0, total_ = 0;  // the units that are still to do, every step-th
  int32_t units_ = 0;                        // of the batch
  int32_t slots_ = 0, slot_bytes_ = 0, x_rows_ = 0;
  int32_t begun_ = 0, to_load_ = 0, tiles_left_ = 0;  // of the batch: asked for before x is there, to ask for, to multiply
  Place load_;
};

}  // namespace chorale::cuda
