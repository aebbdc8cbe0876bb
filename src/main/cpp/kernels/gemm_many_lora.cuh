// B v for tiles of a product of many rows: a warp brings what a tile's rows and columns need of it to shared memory, 16 ranks of
// one target of one adapter at a time, while the block multiplies x; it then multiplies that as well.
#pragma once

#include "kernels/bulk_copy.cuh"
#include "kernels/gemm_many.h"
#include "kernels/lora_tile.cuh"
#include "kernels/wgmma.cuh"

namespace chorale::cuda {

// Shared memory of the ring. A slot has v [128 rows][16 ranks], zero for rows of others, the 16-byte piece c of row r at place
// c ^ (r / 4 % 2); then B [4 blocks of 64 columns][16 ranks][64], zero for columns of another target, the piece c of rank j at
// place c ^ (j % 8).
struct ManyLoraRing {
  static constexpr int32_t kSlots = 2;
  static constexpr uint32_t kVBytes = kManyTileRows * kLoraChunk * 2, kBlockBytes = kLoraChunk * 128;
  static constexpr uint32_t kSlotBytes = kVBytes + 4 * kBlockBytes;

  uint64_t full[kSlots], empty[kSlots];
  bool ends[kSlots];  // instead: the tile has no more

  __device__ __forceinline__ void Init(uint32_t readers) {  // threads
    for (int32_t i = 0; i < kSlots; ++i) {
      BarrierInit(&full[i], 32);
      BarrierInit(&empty[i], readers);
    }
  }
};

// By one warp.
template <typename T>
class ManyLoraWriter {
 public:
  __device__ __forceinline__ ManyLoraWriter(const LoraSiteArgs& args, ManyLoraRing& ring, uint32_t slots)
      : args_(args), ring_(ring), slots_(slots), lane_(static_cast<int32_t>(threadIdx.x) % 32), groups_(*args.group_count) {}

  // For the rows [row_begin, row_end) and the columns of the weight rows low .. low + 127 and high .. high + 127, the latter
  // only if they are fewer than `cols`.
  __device__ __forceinline__ void WriteTile(int32_t row_begin, int32_t row_end, int32_t low, int32_t high, int32_t cols) {
    const Columns columns[2] = {{LoraTargetTile(args_.outputs, low / kLoraTile), true},
                                {LoraTargetTile(args_.outputs, min(high, cols - 1) / kLoraTile), high < cols}};
#pragma unroll 1
    for (int32_t first = 0; first < groups_; first += 32) {
      const LoraGroup own = first + lane_ < groups_ ? args_.groups[first + lane_] : LoraGroup{};
      uint32_t meeting = __ballot_sync(0xffffffffu, own.row_begin < row_end && own.row_begin + own.row_count > row_begin &&
                                                        own.use_begin < own.use_end);
#pragma unroll 1
      for (; meeting != 0; meeting &= meeting - 1) {
        WriteGroup(args_.groups[first + __ffs(static_cast<int32_t>(meeting)) - 1], row_begin, columns);
      }
    }
    Open();
    Close(true);
  }

 private:
  struct Columns {  // 128 of the product's
    LoraTargetTile own;
    bool there;

    __device__ __forceinline__ bool Are(int32_t target) const { return there && own.target == target; }
  };

  __device__ __forceinline__ void WriteGroup(const LoraGroup& group, int32_t row_begin, const Columns (&columns)[2]) {
    int32_t v_col = 0;
#pragma unroll 1
    for (int32_t u = group.use_begin; u < group.use_end; ++u) {
      const LoraUse use = args_.uses[u];
#pragma unroll 1
      for (int32_t t = 0; t < args_.targets; ++t) {
        const LoraMatrix matrix = use.matrices[args_.layer * 7 + args_.first_target + t];
        const int32_t rank = columns[0].Are(t) || columns[1].Are(t) ? matrix.rank : 0;
#pragma unroll 1
        for (int32_t begin = 0; begin < rank; begin += kLoraChunk) {
          Open();
          CopyV(group, row_begin, v_col + begin);
#pragma unroll
          for (int32_t half = 0; half < 2; ++half) CopyB(use.pages, matrix, columns[half].own, columns[half].Are(t), half, begin);
          CommitCopies();
          WaitForCopies<0>();
          Close(false);
        }
        v_col += LoraColumns(matrix.rank);
      }
    }
  }

  __device__ __forceinline__ uint32_t Slot() const { return slots_ + static_cast<uint32_t>(slot_) * ManyLoraRing::kSlotBytes; }
  __device__ __forceinline__ void Open() {
    if (round_ > 0) BarrierWait(&ring_.empty[slot_], (round_ - 1) % 2);
  }
  __device__ __forceinline__ void Close(bool end) {
    if (lane_ == 0) ring_.ends[slot_] = end;
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the tensor cores read what this warp has written
    BarrierArrive(&ring_.full[slot_]);
    if (++slot_ == ManyLoraRing::kSlots) slot_ = 0, ++round_;
  }

  __device__ __forceinline__ void CopyV(const LoraGroup& group, int32_t row_begin, int32_t col) const {
    const T* v = reinterpret_cast<const T*>(args_.v + group.v_offset) + col;
#pragma unroll
    for (int32_t i = 0; i < kManyTileRows * 2 / 32; ++i) {
      const int32_t row = i * 16 + lane_ / 2, piece = lane_ % 2, in_group = row_begin + row - group.row_begin;
      const bool valid = in_group >= 0 && in_group < group.row_count;
      CopyAsync16(Slot() + static_cast<uint32_t>(row) * 32 + static_cast<uint32_t>(piece ^ (row / 4 % 2)) * 16,
                  valid ? v + static_cast<int64_t>(in_group) * group.v_cols + piece * 8 : v, valid);
    }
  }

  __device__ __forceinline__ void CopyB(const int32_t* pages, const LoraMatrix& matrix, const LoraTargetTile& mine, bool wanted,
                                        int32_t half, int32_t begin) const {
    const int32_t ranks = wanted ? min(kLoraChunk, matrix.rank - begin) : 0, piece = lane_ % 16;
    const uint8_t* own = args_.pool.pages;  // lane j finds row j
    if (lane_ < ranks) {
      own = LoraTileRow(args_.pool, pages, args_.layer, matrix.b_offset, matrix.rank, mine.outputs, mine.tile, begin + lane_);
    }
    const uint32_t target = Slot() + ManyLoraRing::kVBytes + static_cast<uint32_t>(half * 2 + piece / 8) * ManyLoraRing::kBlockBytes;
#pragma unroll
    for (int32_t i = 0; i < kLoraChunk / 2; ++i) {
      const int32_t j = i * 2 + lane_ / 16;
      const auto source = reinterpret_cast<const uint8_t*>(__shfl_sync(0xffffffffu, reinterpret_cast<uint64_t>(own), j));
      CopyAsync16(target + static_cast<uint32_t>(j) * 128 + static_cast<uint32_t>((piece % 8) ^ (j % 8)) * 16, source + piece * 16,
                  j < ranks);
    }
  }

  const LoraSiteArgs& args_;
  ManyLoraRing& ring_;
  const uint32_t slots_;
  const int32_t lane_, groups_;
  int32_t slot_ = 0;
  uint32_t round_ = 0;
};

// By the warpgroups that multiply: each 64 of the rows.
template <typename T>
class ManyLoraReader {
 public:
  __device__ __forceinline__ ManyLoraReader(ManyLoraRing& ring, uint32_t slots) : ring_(ring), slots_(slots) {}

  // Adds what the writer brings for a tile; the first of the warp's 16 rows is `row` of the tile.
  __device__ __forceinline__ void AddTile(int32_t row, float (&d)[2][64]) {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
    const int32_t own = row + lane / 8 % 2 * 8 + lane % 8;
    const uint32_t v_place = static_cast<uint32_t>(own) * 32 + static_cast<uint32_t>((lane / 16) ^ (own / 4 % 2)) * 16;
    for (bool end = false; !end;) {
      BarrierWait(&ring_.full[slot_], parity_);
      end = ring_.ends[slot_];
      if (!end) {
        const uint32_t slot = slots_ + static_cast<uint32_t>(slot_) * ManyLoraRing::kSlotBytes;
        uint32_t v[4];
        LoadMatrices(v, slot + v_place);
        WgmmaFence();
        WgmmaFromRegisters<T, 256>::Run(d, v, WgmmaTransposedDescriptor(slot + ManyLoraRing::kVBytes, ManyLoraRing::kBlockBytes));
        WgmmaCommit();
        WgmmaWait<0>();
      }
      BarrierArrive(&ring_.empty[slot_]);
      if (++slot_ == ManyLoraRing::kSlots) slot_ = 0, parity_ ^= 1;
    }
  }

 private:
  ManyLoraRing& ring_;
  const uint32_t slots_;
  int32_t slot_ = 0;
  uint32_t parity_ = 0;
};

}  // namespace chorale::cuda
