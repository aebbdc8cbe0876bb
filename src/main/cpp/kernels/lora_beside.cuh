// LoRA beside the product of the same x: what the spare warps of the product's blocks do. First v = A x, then B v into a
// matrix that the reader of the product adds to it.
#pragma once

#include "kernels/lora_beside_shrink.cuh"

namespace chorale::cuda {

// B v goes in units of some tiles of 128 outputs, as the plan of the step has cut them; each begins when all units of A x of
// its group are counted.
template <typename T>
class LoraExpandWork : public LoraWork {
 public:
  __device__ __forceinline__ LoraExpandWork(const LoraWork& work, const Product& y, int32_t ring_bytes)
      : LoraWork(work), slots_(ring_bytes / static_cast<int32_t>(kTileBytes)), together_(min(kLoraPartsTogether, slots_)),
        out_(const_cast<float*>(y.lora)), out_cols_(y.cols) {}

  // Part `warp` of `warps` equal ones: usually one unit or none. What the first segment is comes while the caller does something else, then Keep().
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
    MoveWindow(Part(0), PageOf(TileStart(FirstTile(), Part(0))));
  }

  __device__ __forceinline__ void Run() {
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
      const int32_t rounds = (parts + together_ - 1) / together_;
      const int32_t steps = rounds == 1 ? 1 : tile_end - tile, tiles = rounds == 1 ? tile_end - tile : 1;
#pragma unroll 1
      for (int32_t step = 0; step < steps && tiles > 0; ++step) {
#pragma unroll 1
        for (int32_t round = 0; round < rounds; ++round) {
          const int32_t first = round * together_;
          if (!loaded) LoadParts(first);
          loaded = false;
          ExpandTiles(tile + step, tiles, min(together_, parts - first), first > 0);
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
    if (lane_ < min(together_, s.parts - first)) {
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

  __device__ __forceinline__ uint32_t TileStart(int32_t tile, const LoraPart& part) const {
    return part.offset + static_cast<uint32_t>(tile * kLoraTile * part.rank * 2);
  }
  // Lane j knows the j-th page of a window of 32 pages of the matrix, which moves when the next tile lies outside.
  __device__ __forceinline__ void MoveWindow(const LoraPart& part, int32_t page) {
    window_pages_ = part.pages;
    window_offset_ = part.offset;
    window_begin_ = page;
    const uint32_t bytes = MatrixBytes(part.rank, OutputsOf(state_.segment.target));
    if (bytes > 0) window_id_ = part.pages[min(page + lane_, PageOf(part.offset + bytes - 1))];
  }

  __device__ __forceinline__ void CopyB(int32_t tile, const LoraPart& part, int32_t slot) {
    const int32_t count = min(kLoraChunk, part.rank - part.rank_begin);
    if (count <= 0) return;
    const int32_t page = PageOf(TileStart(tile, part));
    if (part.pages != window_pages_ || part.offset != window_offset_ || page < window_begin_ || page >= window_begin_ + 24) {
      MoveWindow(part, page);
    }
    CopyTile(ring_ + static_cast<uint32_t>(slot) * kTileBytes, part.offset, part.rank, part.rank_begin, count, kLoraChunk,
             OutputsOf(state_.segment.target), tile, [&](int32_t wanted) {
               const int32_t index = wanted - window_begin_;
               const int32_t id = __shfl_sync(0xffffffffu, window_id_, index & 31);
               return index < 32 ? id : part.pages[wanted];
             });
  }

  // Adds up v of the parts in shared memory, scaled and rounded; a lane has 8 ranks of a part and row at a time, whose sums
  // over pieces of the inputs come 8 together.
  __device__ __forceinline__ void SumV(int32_t count) {
    const LoraSegment& s = state_.segment;
    const int32_t split_stride = s.row_count * s.v_cols;
#pragma unroll 1
    for (int32_t i = lane_; i < s.row_count * count * 2; i += 32) {
      const int32_t row = i / (2 * count), p = i / 2 % count, rank = i % 2 * 8;
      const LoraPart& part = Part(p);
      const int32_t left = part.rank - part.rank_begin - rank;
      float sums[8] = {};
      if (left > 0) {
        const float* source = args_.v + s.v_offset + row * s.v_cols + part.v_col + rank;
#pragma unroll 1
        for (int32_t split = 0; split < splits_; split += 8, source += 8 * split_stride) {
          float4 low[8], high[8];
#pragma unroll
          for (int32_t j = 0; j < 8; ++j) {
            low[j] = high[j] = {0, 0, 0, 0};
            if (split + j >= splits_) continue;
            low[j] = __ldcg(reinterpret_cast<const float4*>(source + j * split_stride));
            high[j] = __ldcg(reinterpret_cast<const float4*>(source + j * split_stride) + 1);
          }
#pragma unroll
          for (int32_t j = 0; j < 8; ++j) {
            sums[0] += low[j].x, sums[1] += low[j].y, sums[2] += low[j].z, sums[3] += low[j].w;
            sums[4] += high[j].x, sums[5] += high[j].y, sums[6] += high[j].z, sums[7] += high[j].w;
          }
        }
      }
#pragma unroll
      for (int32_t j = 0; j < 8; ++j) sums[j] = j < left ? sums[j] * part.scale : 0.0f;  // beyond the rank nothing was written
      *reinterpret_cast<uint4*>(&state_.v[row][p * kLoraChunk + rank]) = {
          PackPair<T>(sums[0], sums[1]), PackPair<T>(sums[2], sums[3]), PackPair<T>(sums[4], sums[5]), PackPair<T>(sums[6], sums[7])};
    }
  }

  // The parts of a tile are multiplied together, 16 outputs at a time, so that few sums are held at once.
  __device__ __forceinline__ void ExpandTiles(int32_t tile_begin, int32_t tiles, int32_t count, bool add) {
    const LoraSegment& s = state_.segment;
    const int32_t total = tiles * count;
    int32_t copied = 0, copied_tile = tile_begin, copied_part = 0, copied_slot = 0;
    const auto copy = [&] {  // the next part, into the slot that is its turn
      if (copied < total) {
        CopyB(copied_tile, Part(copied_part), copied_slot);
        if (++copied_slot == slots_) copied_slot = 0;
        if (++copied_part == count) copied_part = 0, ++copied_tile;
        ++copied;
      }
      CommitCopies();
    };
    const int32_t matrix = lane_ / 8, line = lane_ % 8, row = lane_ / 4, outputs = OutputsOf(s.target);
    const int32_t live = Part(0).rank > 0 ? count : 0;
    const int32_t base = s.target == 0 ? 0 : s.target == 1 ? args_.outputs[0] : args_.outputs[0] + args_.outputs[1];
    const uint32_t v_line = SharedAddress(&state_.v[matrix % 2 * 8 + line][matrix / 2 * 8]);
    float* out = out_ + static_cast<int64_t>(s.row_begin + row) * out_cols_ + base + tile_begin * kLoraTile + lane_ % 4 * 2;
    const bool low = row < s.row_count, high = row + 8 < s.row_count, pairs = !add && (base | out_cols_) % 2 == 0;
    const int64_t below = int64_t{8} * out_cols_;  // from a lane's first row to its second
    int32_t slot = 0;
    // One loop for what fills the ring and what follows a tile: a warp by itself waits for its instructions, so there are to be few.
#pragma unroll 1
    for (int32_t t = -1; true; out += kLoraTile) {
#pragma unroll 1
      for (int32_t i = t < 0 ? slots_ : count; i > 0; --i) copy();
      if (t < 0) {
        if (lane_ == 0) {
          while (LoadAcquire(args_.ready + s.group) < s.chunks * splits_) __nanosleep(20);
        }
        __syncwarp();
        SumV(count);
        __syncwarp();
      }
      if (++t == tiles) break;
      WaitForAllBut(slots_ - count);
      __syncwarp();
      const int32_t used = outputs - (tile_begin + t) * kLoraTile;
      const bool usual = pairs && used >= kLoraTile;
#pragma unroll 1
      for (int32_t half = 0; half < 2; ++half) {
        float d[8][4] = {};  // 16 outputs at a time: of 8 of them, then of the others
#pragma unroll 1
        for (int32_t p = 0; p < live; ++p) {
          const int32_t own = slot + p < slots_ ? slot + p : slot + p - slots_;
          const uint32_t b_line = ring_ + static_cast<uint32_t>(own) * kTileBytes + (matrix % 2 * 8 + line) * kRowBytes;
          uint32_t v[4], b[4][4];  // b: ranks 0-7, 8-15 of 8 outputs, then of the others
          LoadMatrices(v, v_line + p * kLoraChunk * 2);
#pragma unroll
          for (int32_t n = 0; n < 4; ++n) LoadMatricesTransposed(b[n], b_line + (((8 * half + 2 * n + matrix / 2) ^ line) * 16));
#pragma unroll
          for (int32_t n = 0; n < 4; ++n) {
            Mma<T>(d[2 * n], v[0], v[1], v[2], v[3], b[n][0], b[n][1]);
            Mma<T>(d[2 * n + 1], v[0], v[1], v[2], v[3], b[n][2], b[n][3]);
          }
        }
        if (usual) {
#pragma unroll
          for (int32_t n = 0; n < 8; ++n) {
            StorePair(out + half * 64 + n * 8, d[n][0], d[n][1], low);
            StorePair(out + below + half * 64 + n * 8, d[n][2], d[n][3], high);
          }
        } else {
#pragma unroll
          for (int32_t n = 0; n < 8; ++n) {
#pragma unroll
            for (int32_t j = 0; j < 4; ++j) {
              const int32_t col = half * 64 + n * 8 + j % 2;
              if (!(j < 2 ? low : high) || col + lane_ % 4 * 2 >= used) continue;
              float* place = out + (j < 2 ? 0 : below) + col;
              *place = d[n][j] + (add ? *place : 0.0f);
            }
          }
        }
      }
      __syncwarp();
      slot += count;
      if (slot >= slots_) slot -= slots_;
    }
    WaitForCopies<0>();
    __syncwarp();
  }

  // Without a branch: the lanes of a warp stay together for what follows.
  static __device__ __forceinline__ void StorePair(float* place, float first, float second, bool there) {
    asm volatile("{ .reg .pred there; setp.ne.s32 there, %3, 0; @there st.global.v2.f32 [%0], {%1, %2}; }" ::"l"(place),
                 "f"(first), "f"(second), "r"(static_cast<int32_t>(there))
                 : "memory");
  }

  const int32_t slots_, together_;  // of the ring; parts that are multiplied together
  float* const out_;
  const int32_t out_cols_;
  int32_t place_ = 0, end_ = 0;  // what is still to do
  int32_t segment_ = 0;          // which is in the warp's state
  uint32_t words_[2] = {};       // of it, on their way there
  const int32_t* window_pages_ = nullptr;
  uint32_t window_offset_ = 0;  // of the matrix, whose pages these are
  int32_t window_begin_ = 0, window_id_ = 0;
};

// One warp's part of the site, of `warps`. It has a ring in shared memory that cp.async fills while it multiplies. What its
// first units of A x are and their first bytes of A are looked up and under way before it waits for the predecessor, and with
// them its part of B v: two chains of loads side by side, which would cost 5 us one after the other. All blocks of the product
// are resident at once and every warp does its part of A x first, so nothing waits for what has not begun.
template <typename T>
__device__ __forceinline__ void LoraBeside(const LoraSiteArgs& args, const Product& y, uint32_t ring, int32_t ring_bytes,
                                           LoraWarpState& state, int32_t warp, int32_t warps) {
  const LoraWork work(args, ring, state);
  LoraShrinkWork<T> shrink(work, ring_bytes);
  LoraExpandWork<T> expand(work, y, ring_bytes);
  expand.Begin(warp, warps);
  shrink.Begin(warp, warps);
  expand.Keep();
  WaitForPredecessor();
  shrink.CopyInputs();
  shrink.Run();
  expand.Run();
}

}  // namespace chorale::cuda
