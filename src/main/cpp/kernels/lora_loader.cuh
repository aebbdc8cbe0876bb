// How units of A and B come to the stages of a product of few rows (stream_lora.cuh).
#pragma once

#include "kernels/bulk_copy.cuh"
#include "kernels/gemm.h"
#include "kernels/lora.h"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {

inline constexpr int32_t kLoraWarps = 3;  // of a block, which copy B; all but the last copy A
inline constexpr int32_t kLoraRowBytes = kLoraTile * 2;
inline constexpr int32_t kLoraOctetBytes = kLoraOctetRanks * 128;  // of 64 inputs or columns, in a stage
inline constexpr int32_t kLoraPatchBytes = kLoraPatchParts * kLoraOctetBytes;  // of A in a unit of a patch, then as many of each box of x
static_assert(kLoraPatchBoxRows == kLoraOctetRanks);
static_assert(kLoraTile == kProductTile && kLoraTileColumns == kProductTile);

// What one warp does to let units of A and B come: lane j < 16 finds the j-th octet of a unit, 64 columns of each of its ranks. Those
// that lie one after another come in one box.
class LoraLoader {
 public:
  __device__ __forceinline__ LoraLoader(const StreamLora& lora, const LoraDivision& division)
      : lora_(lora), division_(division), lane_(static_cast<int32_t>(threadIdx.x) % 32),
        slices_inverse_(0xffffffffu / lora.site.pool.slice_bytes) {
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(read_once_));
  }

  // Finds a unit of A: the inputs 64 part .. 64 part + 63 of 128 columns of v.
  __device__ __forceinline__ void FindShrink(int32_t tile, int32_t part) {
    const int32_t octet = tile * kLoraTileOctets + lane_;
    there_ = lane_ < 16 && octet < division_.octets;
    if (there_) Choose(octet);
    Find(there_ ? octet_.a_offset : 0, part / 2, part % 2);
  }
  // Finds a unit of A of the block's patch: its parts, 64 inputs of 8 ranks each.
  __device__ __forceinline__ void FindPatch(int32_t unit) {
    const int32_t part = unit * kLoraPatchParts + lane_;
    there_ = lane_ < kLoraPatchParts && part < division_.per_tile;
    Choose(division_.patch.octet);
    Find(octet_.a_offset, part / 2, part % 2);
    boxes_ = row_ < 0 ? 0 : 1;
  }
  // Finds a unit of B: a block of 64 columns of v for 128 outputs. Ranks that there are not meet zeros of v, and are finite.
  __device__ __forceinline__ void FindExpand(const LoraPart& part, int32_t block) {
    const UnitRange octets = part.octets;
    const int32_t octet = block * kLoraBlockOctets + lane_ % 8;
    there_ = lane_ < 16 && octet >= octets.begin && octet < octets.end;
    if (there_) Choose(octet);
    const int32_t output = part.tile * kProductTile, first = lora_.site.outputs[0], second = first + lora_.site.outputs[1];
    const int32_t of_target = output - (output < first ? 0 : output < second ? first : second);
    Find(there_ ? octet_.b_offset : 0, of_target / kLoraTile, lane_ / 8);
  }

  // After FindExpand: which rows use octet threadIdx.x % 8 of the block.
  template <int32_t kRows>
  __device__ __forceinline__ uint4 RowsOfOctet() const {
    const auto word = [&](uint32_t value) { return __shfl_sync(0xffffffffu, there_ ? value : 0, lane_ % 8); };
    uint4 rows = {word(octet_.rows.x), 0, 0, 0};
    if constexpr (kRows > 32) rows.y = word(octet_.rows.y);
    if constexpr (kRows > 64) rows.z = word(octet_.rows.z), rows.w = word(octet_.rows.w);
    return rows;
  }

  // Bytes that Copy lets come, of all lanes.
  __device__ __forceinline__ uint32_t Bytes() const {
    return static_cast<uint32_t>(__popc(__ballot_sync(0xffffffffu, there_)) * kLoraOctetBytes);
  }
  __device__ __forceinline__ void Copy(uint32_t stage, uint64_t* barrier) {
    const uint32_t target = stage + static_cast<uint32_t>(lane_ * kLoraOctetBytes);
    if (boxes_ > 0) {
      const CUtensorMap* map = boxes_ == 8 ? &lora_.blocks : boxes_ == 2 ? &lora_.pairs : &lora_.octets;
      CopyBox(target, map, half_ * 64, row_, barrier, read_once_);
    }
    if (!there_ || row_ >= 0) return;
#pragma unroll 1
    for (int32_t i = 0; i < kLoraOctetRanks; ++i) {  // ranks beyond the last are the first once more
      const uint32_t place = start_ + static_cast<uint32_t>(octet_.rank_begin + i < octet_.rank ? i : 0) * kLoraRowBytes;
      CopyBox(target + static_cast<uint32_t>(i) * 128, &lora_.ranks, half_ * 64, RowAt(place), barrier, read_once_);
    }
  }

 private:
  __device__ __forceinline__ void Choose(int32_t octet) {
    if (octet == chosen_) return;
    chosen_ = octet;
    page_ = -1;
    octet_ = lora_.site.tables.octets[int64_t{octet} * lora_.site.tables.sites + lora_.site.site];
  }
  __device__ __forceinline__ void Find(uint32_t offset, int32_t tile, int32_t half) {
    half_ = half;
    row_ = -1;
    if (there_) {
      start_ = offset + static_cast<uint32_t>((tile * octet_.rank + octet_.rank_begin) * kLoraRowBytes);
      const uint32_t slice = lora_.site.pool.slice_bytes, rest = start_ - PageOf(start_) * slice;
      if (octet_.rank - octet_.rank_begin >= kLoraOctetRanks && rest + kLoraOctetRanks * kLoraRowBytes <= slice) row_ = RowAt(start_);
    }
    // As many octets as lie one after another from the lane's on: 8, 2 or 1; 0 where another lane's box has it.
    const int32_t row_of_8 = __shfl_sync(0xffffffffu, row_, lane_ & ~7), row_of_2 = __shfl_sync(0xffffffffu, row_, lane_ & ~1);
    const uint32_t in_8 = __ballot_sync(0xffffffffu, row_ >= 0 && row_of_8 >= 0 && row_ == row_of_8 + lane_ % 8 * kLoraOctetRanks);
    const uint32_t in_2 = __ballot_sync(0xffffffffu, row_ >= 0 && row_of_2 >= 0 && row_ == row_of_2 + lane_ % 2 * kLoraOctetRanks);
    const bool is_8 = (in_8 >> (lane_ & ~7) & 0xff) == 0xff, is_2 = (in_2 >> (lane_ & ~1) & 3) == 3;
    boxes_ = row_ < 0 ? 0 : is_8 ? (lane_ % 8 == 0 ? 8 : 0) : is_2 ? (lane_ % 2 == 0 ? 2 : 0) : 1;
  }
  // A quotient without division: both numbers are far below 2^32, so the estimate is at most two too low.
  __device__ __forceinline__ uint32_t PageOf(uint32_t place) const {
    const uint32_t slice = lora_.site.pool.slice_bytes, page = __umulhi(place, slices_inverse_), rest = place - page * slice;
    return page + (rest >= slice ? 1 : 0) + (rest >= 2 * slice ? 1 : 0);
  }
  // Of the pool as a matrix of 128 columns.
  __device__ __forceinline__ int32_t RowAt(uint32_t place) {
    const LoraPool& pool = lora_.site.pool;
    const auto page = static_cast<int32_t>(PageOf(place));
    if (page != page_) {
      page_ = page;
      page_row_ = static_cast<int32_t>((octet_.pages[page] * pool.page_bytes + static_cast<int64_t>(lora_.site.layer) * pool.slice_bytes) /
                                       kLoraRowBytes);
    }
    return page_row_ + static_cast<int32_t>((place - static_cast<uint32_t>(page) * pool.slice_bytes) / kLoraRowBytes);
  }

  const StreamLora& lora_;
  const LoraDivision& division_;
  const int32_t lane_;
  const uint32_t slices_inverse_;
  uint64_t read_once_;
  LoraOctet octet_;
  int32_t chosen_ = -1, page_ = -1, page_row_ = 0;  // what is known
  bool there_ = false;
  int32_t half_ = 0, row_ = -1, boxes_ = 0;
  uint32_t start_ = 0;
};

}  // namespace chorale::cuda
