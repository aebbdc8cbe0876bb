// LoRA beside the product of the same x: what the spare warps of the product's blocks do. First v = A x, then B v into a
// matrix that the reader of the product adds to it.
#pragma once

#include "kernels/lora_beside_shrink.cuh"

namespace chorale::cuda {

// B v goes in units of 128 outputs, dealt out so that every warp has as many bytes; each begins when all units of A x of its
// group are counted.
template <typename T>
class LoraExpandWork : public LoraWork {
 public:
  __device__ __forceinline__ LoraExpandWork(const LoraWork& work, const Product& y)
      : LoraWork(work), out_(const_cast<float*>(y.lora)), out_cols_(y.cols) {}

  // Part `warp` of `warps` equal ones.
  __device__ __forceinline__ void Run(int32_t warp, int32_t warps) {
    const int32_t total = groups_ > 0 ? state_.expand_end[groups_ - 1] : 0;
    RunRange(static_cast<int32_t>(int64_t{total} * warp / warps), static_cast<int32_t>(int64_t{total} * (warp + 1) / warps));
  }

 private:
  static constexpr int32_t kExpandSlots = kSlots;

  // Tiles of one target for the rows of one group.
  struct Segment {
    LoraGroup group;
    int32_t index, target, parts;
    int32_t tile, tile_end;  // the first, and where the target or this warp's share ends
  };

  __device__ __forceinline__ void RunRange(int32_t place, int32_t end) {
    bool waited = false;
#pragma unroll 1
    while (place < end) {
      Segment s = NextSegment(place, end);
      if (s.tile >= s.tile_end) continue;
      // More parts than fit (several adapters of high rank on the same rows) go in rounds for each tile.
      const int32_t rounds = (s.parts + kLoraPartsTogether - 1) / kLoraPartsTogether;
      const int32_t steps = rounds == 1 ? 1 : s.tile_end - s.tile, tiles = rounds == 1 ? s.tile_end - s.tile : 1;
#pragma unroll 1
      for (int32_t step = 0; step < steps; ++step) {
#pragma unroll 1
        for (int32_t round = 0; round < rounds; ++round) {
          const int32_t count = min(kLoraPartsTogether, s.parts - round * kLoraPartsTogether);
          __syncwarp();
          if (lane_ < count) state_.expand.parts[lane_] = FindPart(s, round * kLoraPartsTogether + lane_);
          __syncwarp();
          ExpandTiles(s, s.tile + step, tiles, count, round > 0, waited);
          waited = true;
        }
      }
    }
    if (!waited) WaitForPredecessor();
  }

  // The tiles that begin in [place, end), those of one target; advances `place` to what comes after them.
  __device__ __forceinline__ Segment NextSegment(int32_t& place, int32_t end) const {
    Segment s;
    s.index = FindLoraGroup(state_.expand_end, groups_, place);
    s.group = args_.groups[s.index];
    int32_t base = s.index > 0 ? state_.expand_end[s.index - 1] : 0;
    s.target = 0;
#pragma unroll 1
    for (;; ++s.target) {
      s.parts = PartsOf(s.group, s.target);
      const int32_t size = s.parts * LoraTiles(OutputsOf(s.target));
      if (place < base + size) break;
      base += size;
    }
    const int32_t tiles = LoraTiles(OutputsOf(s.target));
    s.tile = (place - base + s.parts - 1) / s.parts;
    s.tile_end = min(tiles, (end - base + s.parts - 1) / s.parts);
    place = s.tile_end == tiles ? base + tiles * s.parts : end;
    return s;
  }

  __device__ __forceinline__ LoraPart FindPart(const Segment& s, int32_t index) const {
    LoraPart part{};
    int32_t v_col = 0;
    for (int32_t u = s.group.use_begin; u < s.group.use_end; ++u) {
      const LoraUse use = args_.uses[u];
      for (int32_t t = 0; t < args_.targets; ++t) {
        const LoraMatrix matrix = MatrixOf(use, t);
        if (t == s.target) {
          const int32_t own = LoraParts(matrix.rank);
          if (index < own) {
            const int32_t begin = index * kLoraChunk;
            return {use.pages, matrix.b_offset, matrix.rank, begin, v_col + begin, matrix.scale * use.scale};
          }
          index -= own;
        }
        v_col += LoraColumns(matrix.rank);
      }
    }
    return part;
  }

  // Lane j knows the j-th page of a window of 32 pages of the matrix, which moves when the next tile lies outside.
  __device__ __forceinline__ void CopyB(const Segment& s, int32_t tile, const LoraPart& part, int32_t slot) {
    const int32_t outputs = OutputsOf(s.target), count = min(kLoraChunk, part.rank - part.rank_begin);
    if (count <= 0) return;
    const int32_t page = PageOf(part.offset + static_cast<uint32_t>(tile * kLoraTile * part.rank * 2));
    if (part.pages != window_pages_ || part.offset != window_offset_ || page < window_begin_ || page >= window_begin_ + 24) {
      window_pages_ = part.pages;
      window_offset_ = part.offset;
      window_begin_ = page;
      window_id_ = part.pages[min(page + lane_, PageOf(part.offset + MatrixBytes(part.rank, outputs) - 1))];
    }
    CopyTile(ring_ + static_cast<uint32_t>(slot) * kTileBytes, part.offset, part.rank, part.rank_begin, count, kLoraChunk,
             outputs, tile, [&](int32_t wanted) {
               const int32_t index = wanted - window_begin_;
               const int32_t id = __shfl_sync(0xffffffffu, window_id_, index & 31);
               return index < 32 ? id : part.pages[wanted];
             });
  }

  // Adds up v of the parts in shared memory, scaled and rounded; a lane has 8 ranks of a row at a time.
  __device__ __forceinline__ void SumV(const Segment& s, int32_t count) {
    const int32_t row = lane_ / 2, split_stride = s.group.row_count * s.group.v_cols;
    const float* v = args_.v + s.group.v_offset + row * s.group.v_cols + lane_ % 2 * 8;
#pragma unroll 1
    for (int32_t p = 0; p < count; ++p) {
      const LoraPart& part = state_.expand.parts[p];
      const int32_t left = part.rank - part.rank_begin - lane_ % 2 * 8;
      float sums[8] = {};
      if (row < s.group.row_count && left > 0) {
        const float* source = v + part.v_col;
#pragma unroll 4
        for (int32_t split = 0; split < splits_; ++split, source += split_stride) {
          const float4 low = __ldcg(reinterpret_cast<const float4*>(source));
          const float4 high = __ldcg(reinterpret_cast<const float4*>(source) + 1);
          sums[0] += low.x, sums[1] += low.y, sums[2] += low.z, sums[3] += low.w;
          sums[4] += high.x, sums[5] += high.y, sums[6] += high.z, sums[7] += high.w;
        }
      }
#pragma unroll
      for (int32_t i = 0; i < 8; ++i) sums[i] = i < left ? sums[i] * part.scale : 0.0f;  // beyond the rank nothing was written
      *reinterpret_cast<uint4*>(&state_.expand.v[row][p * kLoraChunk + lane_ % 2 * 8]) = {
          PackPair<T>(sums[0], sums[1]), PackPair<T>(sums[2], sums[3]), PackPair<T>(sums[4], sums[5]),
          PackPair<T>(sums[6], sums[7])};
    }
  }

  __device__ __forceinline__ void ExpandTiles(const Segment& s, int32_t tile_begin, int32_t tiles, int32_t count, bool add,
                                              bool waited) {
    const int32_t total = tiles * count;
    int32_t copied_tile = tile_begin, copied_part = 0;
    const auto copy = [&](int32_t slot) {
      if (copied_tile < tile_begin + tiles) {
        CopyB(s, copied_tile, state_.expand.parts[copied_part], slot);
        if (++copied_part == count) copied_part = 0, ++copied_tile;
      }
      CommitCopies();
    };
    int32_t slot = 0;
#pragma unroll 1
    for (; slot < kExpandSlots - 1; ++slot) copy(slot);
    if (!waited) WaitForPredecessor();
    const int32_t units = (state_.shrink_end[s.index] - (s.index > 0 ? state_.shrink_end[s.index - 1] : 0)) * splits_;
    if (lane_ == 0) {
      while (LoadAcquire(args_.ready + s.index) < units) __nanosleep(20);
    }
    __syncwarp();
    SumV(s, count);
    __syncwarp();

    const int32_t matrix = lane_ / 8, line = lane_ % 8, outputs = OutputsOf(s.target);
    const int32_t base = s.target == 0 ? 0 : s.target == 1 ? args_.outputs[0] : args_.outputs[0] + args_.outputs[1];
    const uint32_t v = SharedAddress(&state_.expand.v[matrix % 2 * 8 + line][matrix / 2 * 8]);
    float d[kLoraTile / 8][4] = {};
    int32_t tile = tile_begin, p = 0;
    slot = 0;
#pragma unroll 1
    for (int32_t i = 0; i < total; ++i) {
      WaitForCopies<kExpandSlots - 2>();
      __syncwarp();
      copy(slot == 0 ? kExpandSlots - 1 : slot - 1);
      if (state_.expand.parts[p].rank > 0) {
        const uint32_t b_tile = ring_ + static_cast<uint32_t>(slot) * kTileBytes + (matrix % 2 * 8 + line) * kRowBytes;
        uint32_t rows[4];
        LoadMatrices(rows, v + p * kLoraChunk * 2);
#pragma unroll
        for (int32_t n = 0; n < kLoraTile / 16; ++n) {  // 16 outputs: ranks 0-7, 8-15 of 8 of them, then of the others
          uint32_t b[4];
          LoadMatricesTransposed(b, b_tile + (((2 * n + matrix / 2) ^ line) * 16));
          Mma<T>(d[2 * n], rows[0], rows[1], rows[2], rows[3], b[0], b[1]);
          Mma<T>(d[2 * n + 1], rows[0], rows[1], rows[2], rows[3], b[2], b[3]);
        }
      }
      slot = slot + 1 == kExpandSlots ? 0 : slot + 1;
      if (++p < count) continue;
      const int32_t row = lane_ / 4, col = lane_ % 4 * 2, used = min(kLoraTile, outputs - tile * kLoraTile);
      float* first = out_ + static_cast<int64_t>(s.group.row_begin + row) * out_cols_ + base + tile * kLoraTile + col;
      if (used == kLoraTile && !add && (base | out_cols_) % 2 == 0) {  // usually
        if (row < s.group.row_count) {
#pragma unroll
          for (int32_t n = 0; n < kLoraTile / 8; ++n) *reinterpret_cast<float2*>(first + n * 8) = {d[n][0], d[n][1]};
        }
        if (row + 8 < s.group.row_count) {
          first += int64_t{8} * out_cols_;
#pragma unroll
          for (int32_t n = 0; n < kLoraTile / 8; ++n) *reinterpret_cast<float2*>(first + n * 8) = {d[n][2], d[n][3]};
        }
      } else {
#pragma unroll
        for (int32_t n = 0; n < kLoraTile / 8; ++n) {
#pragma unroll
          for (int32_t j = 0; j < 4; ++j) {
            if (row + j / 2 * 8 >= s.group.row_count || col + n * 8 + j % 2 >= used) continue;
            float* place = first + int64_t{j / 2 * 8} * out_cols_ + n * 8 + j % 2;
            *place = d[n][j] + (add ? *place : 0.0f);
          }
        }
      }
      p = 0;
      ++tile;
#pragma unroll
      for (int32_t n = 0; n < kLoraTile / 8; ++n) d[n][0] = d[n][1] = d[n][2] = d[n][3] = 0.0f;
    }
    WaitForCopies<0>();
    __syncwarp();
  }

  float* const out_;
  const int32_t out_cols_;
  const int32_t* window_pages_ = nullptr;
  uint32_t window_offset_ = 0;  // of the matrix, whose pages these are
  int32_t window_begin_ = 0, window_id_ = 0;
};

// One warp's part of the site, of `warps`. It has a ring in shared memory that cp.async fills while it multiplies; what its
// first units are and their first bytes are looked up and under way before it waits for the predecessor. All blocks of the
// product are resident at once and every warp does its part of A x first, so nothing waits for what has not begun.
template <typename T>
__device__ __forceinline__ void LoraBeside(const LoraSiteArgs& args, const Product& y, uint32_t ring, LoraWarpState& state,
                                           int32_t warp, int32_t warps) {
  LoraWork work(args, ring, state);
  work.CountWork();
  LoraShrinkWork<T>(work).Run(warp, warps);
  __syncwarp();
  LoraExpandWork<T>(work, y).Run(warp, warps);
}

}  // namespace chorale::cuda
