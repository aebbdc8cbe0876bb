// What the spare warps of a product's blocks need to compute LoRA (lora_beside.cuh): how much there is to do, where it lies,
// and copies of it.
#pragma once

#include "kernels/lora_tile.cuh"

namespace chorale::cuda {

inline constexpr int32_t kLoraSlotsMax = 12;          // of a ring, for tiles of B: as WaitForAllBut counts
inline constexpr int32_t kLoraUnits = 16;             // that a warp looks up together
inline constexpr int32_t kLoraUnitPages = 4;          // of a unit that are looked up with it
inline constexpr int32_t kLoraVStride = kLoraChunk * kLoraPartsTogether + 8;  // elements, to spread the banks

// A chunk of A x for the inputs of one split.
struct LoraUnit {
  const int32_t* pages;
  uint32_t offset;  // of A
  int32_t rank, rank_begin;
  int32_t tile_begin, tile_count;
  int32_t row_begin, row_count;
  int32_t v_place, v_cols;
  int32_t group;
  int32_t page_begin;
  int32_t page_ids[kLoraUnitPages];
};

// What a warp keeps beside its ring.
struct LoraWarpState {
  LoraSegment segment;  // its first parts are those at hand
  union {
    LoraUnit units[kLoraUnits];
    alignas(16) uint16_t v[kLoraGroupRows][kLoraVStride];
  };
};

__device__ __forceinline__ int32_t LoraTiles(int32_t columns) { return (columns + kLoraTile - 1) / kLoraTile; }

// One warp's view of a site of a layer.
class LoraWork {
 public:
  __device__ __forceinline__ LoraWork(const LoraSiteArgs& args, uint32_t ring, LoraWarpState& state)
      : args_(args), ring_(ring), state_(state), lane_(static_cast<int32_t>(threadIdx.x) % 32),
        counts_(*reinterpret_cast<const int4*>(args.tables.counts + args.site)), splits_(LoraSplits(args.columns)),
        slices_inverse_(0xffffffffu / args.pool.slice_bytes) {}

  static constexpr uint32_t kRowBytes = kLoraTile * 2, kTileBytes = kLoraChunk * kRowBytes;  // of a tile of 16 rows

 protected:

  // Entry `index` of a table, of this site.
  template <typename E>
  __device__ __forceinline__ const E& Entry(const E* table, int32_t index) const {
    return table[int64_t{index} * args_.tables.sites + args_.site];
  }
  __device__ __forceinline__ int32_t OutputsOf(int32_t target) const {
    return target == 0 ? args_.outputs[0] : target == 1 ? args_.outputs[1] : args_.outputs[2];
  }

  // Bytes of A or B: whole tiles, the last of its own width.
  __device__ __forceinline__ uint32_t MatrixBytes(int32_t rank, int32_t columns) const {
    const int32_t tiles = LoraTiles(columns);
    return static_cast<uint32_t>(rank * 2 * ((tiles - 1) * kLoraTile + LoraTileWidth(columns, tiles - 1)));
  }

  // A quotient without division: both numbers are far below 2^32, so the estimate is at most two too low.
  __device__ __forceinline__ int32_t PageOf(uint32_t place) const {
    const uint32_t page = __umulhi(place, slices_inverse_), rest = place - page * args_.pool.slice_bytes;
    return static_cast<int32_t>(page + (rest >= args_.pool.slice_bytes ? 1 : 0) + (rest >= 2 * args_.pool.slice_bytes ? 1 : 0));
  }

  // Chunk c of row r lies at place c ^ (r % 8): no bank conflicts for ldmatrix.
  __device__ __forceinline__ uint32_t Place(uint32_t tile, int32_t row) const {
    return tile + row * kRowBytes + (((lane_ % 16) ^ (row % 8)) * 16);
  }

  // Copies rows of a tile of A or B to `target`: `rank` rows of `columns` columns at `offset`, of which `count` from
  // `rank_begin` on. page_id(page) is asked by all lanes together. What lies beyond the tile's columns becomes zero, and so
  // do rows up to `count_zero`.
  template <typename PageId>
  __device__ __forceinline__ void CopyTile(uint32_t target, uint32_t offset, int32_t rank, int32_t rank_begin, int32_t count,
                                           int32_t count_zero, int32_t columns, int32_t tile, const PageId& page_id) const {
    const int32_t width = LoraTileWidth(columns, tile), column = lane_ % 16 * 8;
    const uint32_t start = offset + static_cast<uint32_t>((tile * kLoraTile * rank + rank_begin * width) * 2);
    const uint32_t stride = static_cast<uint32_t>(width) * 2;
    const uint8_t* layer = args_.pool.pages + static_cast<int64_t>(args_.layer) * args_.pool.slice_bytes + column * 2;
    const int32_t first = PageOf(start), last = PageOf(start + max(count - 1, 0) * stride);
    if (first == last && width == kLoraTile) {  // usually
      const uint8_t* source = layer + page_id(first) * args_.pool.page_bytes + (start - first * args_.pool.slice_bytes) +
                              lane_ / 16 * kRowBytes;
#pragma unroll 8
      for (int32_t j = lane_ / 16; j < count_zero; j += 2, source += 2 * kRowBytes) {
        CopyAsync16(Place(target, j), j < count ? source : layer, j < count);
      }
      return;
    }
#pragma unroll 1
    for (int32_t i = 0; i < (count_zero + 1) / 2; ++i) {
      const int32_t j = 2 * i + lane_ / 16;
      const uint32_t place = start + min(j, max(count - 1, 0)) * stride;
      const int32_t page = PageOf(place);
      const uint8_t* source = layer + page_id(page) * args_.pool.page_bytes + (place - page * args_.pool.slice_bytes);
      const bool valid = j < count && column < width;
      if (j < count_zero) CopyAsync16(Place(target, j), valid ? source : layer - column * 2, valid);
    }
  }

  const LoraSiteArgs& args_;
  const uint32_t ring_;
  LoraWarpState& state_;
  const int32_t lane_;
  const int4 counts_;  // chunks, segments, units, parts of tiles
  const int32_t splits_;
  const uint32_t slices_inverse_;
};

}  // namespace chorale::cuda
