// What the spare warps of a product's blocks need to compute LoRA (lora_beside.cuh): how much there is to do, and where it lies.
#pragma once

#include "kernels/bulk_copy.cuh"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {

inline constexpr int32_t kLoraUnits = 16;      // that a warp looks up together
inline constexpr int32_t kLoraUnitPages = 4;   // of a unit that are looked up with it
inline constexpr int32_t kLoraSlotsMax = 12;   // of a warp's ring
inline constexpr int32_t kLoraRowBytes = kLoraTile * 2;
inline constexpr int32_t kLoraTileBytes = kLoraChunk * kLoraRowBytes;  // of 16 ranks of a tile

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

// What a warp keeps in shared memory.
struct LoraWarpState {
  uint64_t there[kLoraSlotsMax];  // of the ring's slots: what was asked for has come
  LoraSegment segment;            // its first parts are those at hand
  union {
    LoraUnit units[kLoraUnits];
    uint2 v[kLoraPartsTogether][32];  // of a lane: ranks 2q, 2q + 1 and 2q + 8, 2q + 9 of row g, q = lane % 4 and g = lane / 4
  };
};

__device__ __forceinline__ int32_t LoraTiles(int32_t columns) { return (columns + kLoraTile - 1) / kLoraTile; }

// One warp's view of a site of a layer.
class LoraWork {
 public:
  __device__ __forceinline__ LoraWork(const LoraSiteArgs& args, uint32_t ring, int32_t ring_bytes, LoraWarpState& state)
      : args_(args), ring_(ring), ring_bytes_(ring_bytes), state_(state), lane_(static_cast<int32_t>(threadIdx.x) % 32),
        counts_(*reinterpret_cast<const int4*>(args.tables.counts + args.site)), splits_(LoraSplits(args.columns)),
        slices_inverse_(0xffffffffu / args.pool.slice_bytes),
        layer_(args.pool.pages + static_cast<int64_t>(args.layer) * args.pool.slice_bytes) {}

  // The slots of the ring have a barrier each, which all lanes tell of their copies.
  __device__ __forceinline__ void InitRing() const {
    if (lane_ < kLoraSlotsMax) BarrierInit(&state_.there[lane_], 32);
    __syncwarp();
  }

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
  static __device__ __forceinline__ uint32_t TileStart(uint32_t offset, int32_t rank, int32_t tile) {
    return offset + static_cast<uint32_t>(tile * kLoraTile * rank * 2);
  }

  // A quotient without division: both numbers are far below 2^32, so the estimate is at most two too low.
  __device__ __forceinline__ int32_t PageOf(uint32_t place) const {
    const uint32_t page = __umulhi(place, slices_inverse_), rest = place - page * args_.pool.slice_bytes;
    return static_cast<int32_t>(page + (rest >= args_.pool.slice_bytes ? 1 : 0) + (rest >= 2 * args_.pool.slice_bytes ? 1 : 0));
  }

  // Lets `count` ranks of a tile come to `target`, which begin at `start`, `pitch` bytes apart; page_id(page) is asked by all
  // lanes together. A lane copies 16 bytes of every second rank: chunk c of ranks 2j and 2j + 1 to c ^ swizzle(j) of theirs, so
  // that lanes which read different ranks do not meet in a bank. Up to 16 there is anything in the place of ranks beyond; with
  // kFinite what other ranks have.
  template <bool kFinite, typename PageId, typename Swizzle>
  __device__ __forceinline__ void CopyRanks(uint32_t target, uint32_t start, uint32_t pitch, int32_t count, const PageId& page_id,
                                            const Swizzle& swizzle) const {
    constexpr int32_t kPair = 2 * kLoraRowBytes;
    const int32_t page = PageOf(start), odd = lane_ / 16;
    const uint32_t rest = start - page * args_.pool.slice_bytes, column = static_cast<uint32_t>(lane_ % 16 * 16);
    const uint32_t own = target + static_cast<uint32_t>(odd * kLoraRowBytes) + column;
    if (pitch == kLoraRowBytes && rest + kLoraTileBytes <= args_.pool.slice_bytes && (!kFinite || count % 8 == 0)) {  // usually
      const uint8_t* source = layer_ + page_id(page) * args_.pool.page_bytes + rest + odd * kLoraRowBytes + column;
#pragma unroll
      for (int32_t j = 0; j < 4; ++j) CopyAsync16((own ^ swizzle(j)) + j * kPair, source + j * kPair);
      if (!kFinite && count <= 8) return;
      const uint8_t* others = source + (count > 8 ? kLoraTileBytes / 2 : 0);
#pragma unroll
      for (int32_t j = 4; j < 8; ++j) CopyAsync16((own ^ swizzle(j)) + j * kPair, others + (j - 4) * kPair);
      return;
    }
#pragma unroll 1
    for (int32_t j = 0; j < 8; ++j) {
      const uint32_t place = start + static_cast<uint32_t>(min(2 * j + odd, count - 1)) * pitch;
      const int32_t of_place = PageOf(place);
      const uint8_t* source = layer_ + page_id(of_place) * args_.pool.page_bytes + (place - of_place * args_.pool.slice_bytes);
      CopyAsync16((own ^ swizzle(j)) + j * kPair, source + (column & (pitch - 1)));
    }
  }

  __device__ __forceinline__ void Asked(int32_t slot) const {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(SharedAddress(&state_.there[slot])) : "memory");
  }
  __device__ __forceinline__ void Await(int32_t slot) {
    BarrierWait(&state_.there[slot], phases_ >> slot & 1);
    phases_ ^= 1U << slot;
    __syncwarp();
  }
  static __device__ __forceinline__ uint4 LoadShared16(uint32_t address) {
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address));
    return v;
  }

  const LoraSiteArgs& args_;
  const uint32_t ring_;  // in shared memory, at a multiple of 256 bytes
  const int32_t ring_bytes_;
  LoraWarpState& state_;
  uint32_t phases_ = 0;  // of the slots' barriers
  const int32_t lane_;
  const int4 counts_;  // chunks, segments, units, parts of tiles
  const int32_t splits_;
  const uint32_t slices_inverse_;
  const uint8_t* const layer_;  // the layer's slice of page 0
};

}  // namespace chorale::cuda
