// LoRA beside the product of the same x: what the spare warps of the product's blocks do. First v = A x, then B v into a
// matrix that the reader of the product adds to it.
#pragma once

#include "kernels/lora_beside_shrink.cuh"

namespace chorale::cuda {

// B v goes in units of some tiles of 128 outputs, as the plan of the step has cut them; each begins when all units of A x of
// its group are counted. Outputs are the rows of m16 and the group's rows the columns of n8. A lane has 8 neighbouring outputs of
// 4 ranks, of which byte permutations make pairs of ranks.
template <typename T>
class LoraExpandWork : public LoraWork {
 public:
  __device__ __forceinline__ LoraExpandWork(const LoraWork& work, const Product& y)
      : LoraWork(work), out_(const_cast<float*>(y.lora)), out_cols_(y.cols) {}

  // Part `warp` of `warps` equal ones: usually one unit or none. What the first segment is comes while the caller does something
  // else, then Keep().
  __device__ __forceinline__ void Begin(int32_t warp, int32_t warps) {
    static_assert(kLoraGroupsMax * kLoraSiteTargets == 3 * 128);
    const int4 ends0 = Ends(0), ends1 = Ends(1), ends2 = Ends(2);
    const int32_t total = counts_.z;
    place_ = static_cast<int32_t>(int64_t{total} * warp / warps);
    end_ = static_cast<int32_t>(int64_t{total} * (warp + 1) / warps);
    if (place_ == end_) return;
    // The first segment that ends beyond the place: in which 128, which lane's four, which of them.
    const bool in0 = __shfl_sync(0xffffffffu, ends0.w, 31) > place_, in1 = __shfl_sync(0xffffffffu, ends1.w, 31) > place_;
    const int4 ends = in0 ? ends0 : in1 ? ends1 : ends2;
    const int32_t lane = __ffs(static_cast<int32_t>(__ballot_sync(0xffffffffu, ends.w > place_))) - 1;
    const int32_t own = ends.x > place_ ? 0 : ends.y > place_ ? 1 : ends.z > place_ ? 2 : 3;
    segment_ = (in0 ? 0 : in1 ? 128 : 256) + lane * 4 + __shfl_sync(0xffffffffu, own, lane);
    AskSegment();
  }
  __device__ __forceinline__ void Keep() {
    if (place_ == end_) return;
    KeepSegment();
    MoveWindow(Part(0), PageOf(TileStart(Part(0).offset, Part(0).rank, FirstTile())));
  }

  __device__ __forceinline__ void Run(uint32_t phases) {
    phases_ = phases;
    bool loaded = true;  // by Begin
#pragma unroll 1
    while (place_ < end_) {
      if (!loaded) {
        ++segment_;
        AskSegment();
        KeepSegment();
        loaded = true;
      }
      const int32_t tile = FirstTile(), tile_end = EndTile(), parts = state_.segment.parts;
      // More parts than fit (several adapters of high rank on the same rows) go in rounds for each tile.
      const int32_t rounds = (parts + kLoraPartsTogether - 1) / kLoraPartsTogether;
      const int32_t steps = rounds == 1 ? 1 : tile_end - tile, tiles = rounds == 1 ? tile_end - tile : 1;
#pragma unroll 1
      for (int32_t step = 0; step < steps && tiles > 0; ++step) {
#pragma unroll 1
        for (int32_t round = 0; round < rounds; ++round) {
          const int32_t first = round * kLoraPartsTogether;
          if (!loaded) LoadParts(first);
          loaded = false;
          ExpandTiles(tile + step, tiles, min(kLoraPartsTogether, parts - first), first > 0);
        }
      }
      place_ = state_.segment.end;
      loaded = false;
    }
  }

 private:

  static constexpr int32_t kSegmentWords = sizeof(LoraSegment) / 4;
  static_assert(kSegmentWords > 32 && kSegmentWords <= 64);

  // Where four segments end, of the 128 from 128 `chunk` on; what is behind the last ends beyond everything.
  __device__ __forceinline__ int4 Ends(int32_t chunk) const {
    const int32_t first = chunk * 128 + lane_ * 4, left = counts_.y - first;
    const int4 ends = *reinterpret_cast<const int4*>(args_.tables.counts[args_.site].ends + first);
    return {left > 0 ? ends.x : INT32_MAX, left > 1 ? ends.y : INT32_MAX, left > 2 ? ends.z : INT32_MAX,
            left > 3 ? ends.w : INT32_MAX};
  }

  __device__ __forceinline__ void AskSegment() {
    const auto* words = reinterpret_cast<const uint32_t*>(&Entry(args_.tables.segments, segment_));
    words_[0] = words[lane_];
    words_[1] = words[min(32 + lane_, kSegmentWords - 1)];
  }
  __device__ __forceinline__ void KeepSegment() {
    auto* words = reinterpret_cast<uint32_t*>(&state_.segment);
    __syncwarp();
    words[lane_] = words_[0];
    if (32 + lane_ < kSegmentWords) words[32 + lane_] = words_[1];
    __syncwarp();
  }
  __device__ __forceinline__ const LoraPart& Part(int32_t index) const { return state_.segment.first[index]; }
  __device__ __forceinline__ void LoadParts(int32_t first) {
    const LoraSegment& s = state_.segment;
    __syncwarp();
    if (lane_ < min(kLoraPartsTogether, s.parts - first)) {
      state_.segment.first[lane_] = Entry(args_.tables.parts, s.part_begin + first + lane_);
    }
    __syncwarp();
  }

  __device__ __forceinline__ int32_t TileFrom(int32_t place) const {
    return (place - state_.segment.begin) * state_.segment.tiles_each;
  }
  __device__ __forceinline__ int32_t FirstTile() const { return TileFrom(place_); }
  __device__ __forceinline__ int32_t EndTile() const {
    return min(TileFrom(min(end_, state_.segment.end)), LoraTiles(OutputsOf(state_.segment.target)));
  }

  // Lane j knows the j-th page of a window of 32 pages of the matrix, which moves when the next tile lies outside.
  __device__ __forceinline__ void MoveWindow(const LoraPart& part, int32_t page) {
    window_pages_ = part.pages;
    window_offset_ = part.offset;
    window_begin_ = page;
    const uint32_t bytes = MatrixBytes(part.rank, OutputsOf(state_.segment.target));
    if (bytes > 0) window_id_ = part.pages[min(page + lane_, PageOf(part.offset + bytes - 1))];
  }

  // The number of a page of the matrix of `part`; asked by all lanes together.
  __device__ __forceinline__ int32_t PageId(const LoraPart& part, int32_t page) const {
    const int32_t index = page - window_begin_, id = __shfl_sync(0xffffffffu, window_id_, index & 31);
    return index < 32 ? id : part.pages[page];
  }

  struct Place {  // of a part of a tile
    int32_t tile, part = 0;
  };
  __device__ __forceinline__ void Advance(Place& place, int32_t parts) const {
    if (++place.part == parts) place.part = 0, ++place.tile;
  }

  // Ranks that there are not meet zeros of v, and are finite; outputs beyond a tile's are others of it, and not stored.
  __device__ __forceinline__ void CopyB(const Place& place, uint32_t slot) {
    const LoraPart& part = Part(place.part);
    if (part.rank == 0) return;
    const uint32_t pitch = static_cast<uint32_t>(LoraTileWidth(OutputsOf(state_.segment.target), place.tile)) * 2;
    const uint32_t start = TileStart(part.offset, part.rank, place.tile) + static_cast<uint32_t>(part.rank_begin) * pitch;
    const int32_t page = PageOf(start);
    if (part.pages != window_pages_ || part.offset != window_offset_ || page < window_begin_ || page >= window_begin_ + 24) {
      MoveWindow(part, page);
    }
    CopyRanks<true>(slot, start, pitch, min(kLoraChunk, part.rank - part.rank_begin), [&](int32_t wanted) { return PageId(part, wanted); },
              [&](int32_t pair) { return static_cast<uint32_t>(pair % 4 * 32); });
  }

  // Adds up v of the parts, scaled and rounded, as a lane multiplies it: the sums over pieces of the inputs come 8 together.
  __device__ __forceinline__ void SumV(int32_t count) {
    const LoraSegment& s = state_.segment;
    const int32_t split_stride = s.row_count * s.v_cols, first = lane_ % 4 * 2;
#pragma unroll 1
    for (int32_t p = 0; p < count; ++p) {
      const LoraPart& part = Part(p);
      const int32_t left = part.rank - part.rank_begin - first;  // ranks from the lane's first on
      float sums[4] = {};
      const float* source = args_.v + s.v_offset + min(lane_ / 4, s.row_count - 1) * s.v_cols + first + part.v_col;
#pragma unroll 1
      for (int32_t split = 0; split < splits_ && part.rank > 0; split += 8, source += 8 * split_stride) {
        float2 low[8], high[8];
#pragma unroll
        for (int32_t j = 0; j < 8; ++j) {
          low[j] = high[j] = {0, 0};
          if (split + j >= splits_) continue;
          low[j] = __ldcg(reinterpret_cast<const float2*>(source + j * split_stride));
          high[j] = __ldcg(reinterpret_cast<const float2*>(source + j * split_stride) + 4);
        }
#pragma unroll
        for (int32_t j = 0; j < 8; ++j) sums[0] += low[j].x, sums[1] += low[j].y, sums[2] += high[j].x, sums[3] += high[j].y;
      }
      constexpr int32_t kAt[4] = {0, 1, 8, 9};
#pragma unroll
      for (int32_t j = 0; j < 4; ++j) sums[j] = kAt[j] < left ? sums[j] * part.scale : 0.0f;  // beyond the rank nothing was written
      state_.v[p][lane_] = {PackPair<T>(sums[0], sums[1]), PackPair<T>(sums[2], sums[3])};
    }
  }

  // `count` parts of each of the tiles.
  __device__ __forceinline__ void ExpandTiles(int32_t tile_begin, int32_t tiles, int32_t count, bool add) {
    const LoraSegment& s = state_.segment;
    const int32_t slots = min(kLoraSlotsMax, ring_bytes_ / kLoraTileBytes);
    int32_t left = tiles * count, to_load = left;
    Place load{tile_begin}, place{tile_begin};
    const auto copy = [&](int32_t slot) {
      CopyB(load, ring_ + static_cast<uint32_t>(slot) * kLoraTileBytes);
      Asked(slot);
      Advance(load, count);
      --to_load;
    };
#pragma unroll 1
    for (int32_t slot = 0; slot < slots && to_load > 0; ++slot) copy(slot);
    if (lane_ == 0) {
      while (LoadAcquire(args_.ready + s.group) < s.chunks * splits_) __nanosleep(20);
    }
    __syncwarp();
    SumV(count);
    float d[2][4][4] = {};
    const int32_t q = lane_ % 4, g = lane_ / 4;
    const uint32_t own = static_cast<uint32_t>(q * 2 * kLoraRowBytes + ((g * 16) ^ (q * 32)));
    int32_t slot = 0;
#pragma unroll 1
    for (; left > 0; --left) {
      Await(slot);
      const uint32_t b = ring_ + static_cast<uint32_t>(slot) * kLoraTileBytes + own;
      if (Part(place.part).rank > 0) {
#pragma unroll
        for (int32_t half = 0; half < 2; ++half) Multiply(b ^ (half * 128), state_.v[place.part][lane_], d[half]);
      }
      __syncwarp();
      if (to_load > 0) copy(slot);
      if (++slot == slots) slot = 0;
      const int32_t tile = place.tile;
      Advance(place, count);
      if (place.tile != tile) Store(tile, d, add);
      __syncwarp();
    }
  }

  // Half of a tile, where the lane's outputs of it begin: ranks 2q, 2q + 1, 2q + 8 and 2q + 9 of outputs 8g .. 8g + 7.
  static __device__ __forceinline__ void Multiply(uint32_t own, uint2 v, float (&d)[4][4]) {
    uint4 b[4];
#pragma unroll
    for (int32_t j = 0; j < 4; ++j) b[j] = LoadShared16(own + j / 2 * (kLoraTileBytes / 2) + j % 2 * kLoraRowBytes);
    const uint32_t *b0 = &b[0].x, *b1 = &b[1].x, *b2 = &b[2].x, *b3 = &b[3].x;
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      Mma<T>(d[i], __byte_perm(b0[i], b1[i], 0x5410), __byte_perm(b0[i], b1[i], 0x7632), __byte_perm(b2[i], b3[i], 0x5410),
             __byte_perm(b2[i], b3[i], 0x7632), v.x, v.y);
    }
  }

  // Stores the sums of a tile, and begins anew. A lane has outputs 8g .. of both halves for rows 2q and 2q + 1.
  __device__ __forceinline__ void Store(int32_t tile, float (&d)[2][4][4], bool add) const {
    const LoraSegment& s = state_.segment;
    const int32_t base = s.target == 0 ? 0 : s.target == 1 ? args_.outputs[0] : args_.outputs[0] + args_.outputs[1];
    const int32_t used = OutputsOf(s.target) - tile * kLoraTile, first = lane_ / 4 * 8;
    const bool usual = used >= kLoraTile && !add && (base | out_cols_) % 4 == 0;
    float* out = out_ + static_cast<int64_t>(s.row_begin + lane_ % 4 * 2) * out_cols_ + base + tile * kLoraTile + first;
#pragma unroll
    for (int32_t side = 0; side < 2; ++side, out += out_cols_) {
      if (lane_ % 4 * 2 + side >= s.row_count) continue;
#pragma unroll
      for (int32_t half = 0; half < 2; ++half) {
        const float (&sums)[4][4] = d[half];
        if (usual) {
#pragma unroll
          for (int32_t i = 0; i < 4; i += 2) {
            *reinterpret_cast<float4*>(out + half * 64 + i * 2) = {sums[i][side], sums[i][side + 2], sums[i + 1][side], sums[i + 1][side + 2]};
          }
        } else {
#pragma unroll
          for (int32_t i = 0; i < 8; ++i) {
            if (half * 64 + first + i >= used) continue;
            float* target = out + half * 64 + i;
            *target = sums[i / 2][side + i % 2 * 2] + (add ? *target : 0.0f);
          }
        }
      }
    }
#pragma unroll
    for (int32_t i = 0; i < 32; ++i) d[i / 16][i / 4 % 4][i % 4] = 0.0f;
  }

  float* const out_;
  const int32_t out_cols_;
  int32_t place_ = 0, end_ = 0;  // what is still to do
  int32_t segment_ = 0;          // which is in the warp's state
  uint32_t words_[2] = {};       // of it, on their way there
  const int32_t* window_pages_ = nullptr;
  uint32_t window_offset_ = 0;  // of the matrix, whose pages these are
  int32_t window_begin_ = 0, window_id_ = 0;
};

// One warp's part of the site, of `warps`. It has a ring in shared memory that asynchronous copies fill while it multiplies. What
// its first units of A x are and their first bytes of A are looked up and under way before it waits for the predecessor, and with
// them its part of B v: two chains of loads side by side, which would cost 5 us one after the other. All blocks of the product
// are resident at once and every warp does its part of A x first, so nothing waits for what has not begun.
template <typename T>
__device__ __forceinline__ void LoraBeside(const LoraSiteArgs& args, const Product& y, uint32_t ring, int32_t ring_bytes,
                                           LoraWarpState& state, int32_t warp, int32_t warps) {
  LoraWork work(args, ring, ring_bytes, state);
  work.InitRing();
  LoraShrinkWork<T> shrink(work);
  LoraExpandWork<T> expand(work, y);
  expand.Begin(warp, warps);
  shrink.Begin(warp, warps);
  expand.Keep();
  WaitForPredecessor();
  expand.Run(shrink.Run());
}

}  // namespace chorale::cuda
