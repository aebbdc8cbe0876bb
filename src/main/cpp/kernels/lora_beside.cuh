// LoRA beside the product of the same x: what the spare warps of the product's blocks do. First v = A x, then B v into a
// matrix that the reader of the product adds to it.
#pragma once

#include "kernels/lora_tile.cuh"

namespace chorale::cuda {

inline constexpr int32_t kLoraRingBytes = 32 * 1024;  // of a warp
inline constexpr int32_t kLoraUnits = 16;             // that a warp looks up together
inline constexpr int32_t kLoraUnitPages = 4;          // of a unit that are looked up with it
inline constexpr int32_t kLoraPartsTogether = 8;      // whose v is in shared memory
inline constexpr int32_t kLoraVStride = kLoraChunk * kLoraPartsTogether + 8;  // elements, to spread the banks

// 16 ranks of one target of one adapter, the rows of a group, the inputs of one split.
struct LoraUnit {
  const int32_t* pages;
  uint32_t offset;  // of A
  int32_t rank, rank_begin;
  int32_t tile_begin, tile_count;
  int32_t row_begin, row_count;
  int32_t v_place, v_cols;  // of (row_begin, rank_begin) in this split's part of v, and from a row to the next
  int32_t group;
  int32_t page_begin;
  int32_t page_ids[kLoraUnitPages];
};
// 16 ranks of one target of one adapter.
struct LoraPart {
  const int32_t* pages;
  uint32_t offset;  // of B
  int32_t rank, rank_begin;
  int32_t v_col;
  float scale;
};

// What a warp keeps beside its ring.
struct LoraWarpState {
  int32_t shrink_end[kLoraGroupsMax];  // chunks of 16 ranks of the groups up to this one
  int32_t expand_end[kLoraGroupsMax];  // parts of tiles of outputs likewise
  union {
    LoraUnit units[kLoraUnits];
    struct {
      LoraPart parts[kLoraPartsTogether];
      uint16_t v[kLoraGroupRows][kLoraVStride];
    } expand;
  };
};

__device__ __forceinline__ int32_t LoraTiles(int32_t columns) { return (columns + kLoraTile - 1) / kLoraTile; }
__device__ __forceinline__ int32_t LoraParts(int32_t rank) { return (rank + kLoraChunk - 1) / kLoraChunk; }

// The first group whose end is beyond `place`.
__device__ __forceinline__ int32_t FindLoraGroup(const int32_t* ends, int32_t groups, int32_t place) {
  int32_t low = 0, high = groups - 1;
  while (low < high) {
    const int32_t middle = (low + high) / 2;
    if (ends[middle] > place) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// One warp's part of the site, of `warps`. It has a ring in shared memory that cp.async fills while it multiplies; what its
// first units are and their first bytes are looked up and under way before it waits for the predecessor.
//
// A x goes in units of 16 ranks and 512 or 1,024 inputs, dealt out in turn; who has finished one counts it for the group.
// B v goes in units of 128 outputs, dealt out so that every warp has as many bytes, and each begins when all units of its
// group are counted. All blocks of the product are resident at once and every warp does its part of A x first, so nothing
// waits for what has not begun.
template <typename T>
class LoraWarp {
 public:
  __device__ __forceinline__ LoraWarp(const LoraSiteArgs& args, const Product& y, uint32_t ring, LoraWarpState& state)
      : args_(args), out_(const_cast<float*>(y.lora)), out_cols_(y.cols), ring_(ring), state_(state), lane_(static_cast<int32_t>(threadIdx.x) % 32),
        groups_(*args.group_count), splits_(LoraSplits(args.columns)), slices_inverse_(0xffffffffu / args.pool.slice_bytes) {}

  __device__ __forceinline__ void Run(int32_t warp, int32_t warps) {
    CountWork();
    Shrink(warp, warps);
    __syncwarp();
    const int32_t total = groups_ > 0 ? state_.expand_end[groups_ - 1] : 0;
    Expand(static_cast<int32_t>(int64_t{total} * warp / warps), static_cast<int32_t>(int64_t{total} * (warp + 1) / warps));
  }

 private:
  static constexpr uint32_t kRowBytes = kLoraTile * 2, kTileBytes = kLoraChunk * kRowBytes;  // of a tile of 16 rows
  static constexpr int32_t kExpandSlots = kLoraRingBytes / kTileBytes;
  static constexpr int32_t kShrinkSlots = kExpandSlots / 2;  // a tile of A and a tile of x

  __device__ __forceinline__ const LoraMatrix& MatrixOf(const LoraUse& use, int32_t target) const {
    return use.matrices[args_.layer * 7 + args_.first_target + target];
  }
  __device__ __forceinline__ int32_t OutputsOf(int32_t target) const {
    return target == 0 ? args_.outputs[0] : target == 1 ? args_.outputs[1] : args_.outputs[2];
  }

  // Of a target that the adapters leave alone one part without ranks: its outputs are zero, and the reader counts on that.
  __device__ __forceinline__ int32_t PartsOf(const LoraGroup& group, int32_t target) const {
    if (group.use_begin == group.use_end) return 0;
    int32_t parts = 0;
    for (int32_t u = group.use_begin; u < group.use_end; ++u) parts += LoraParts(MatrixOf(args_.uses[u], target).rank);
    return max(parts, 1);
  }

  __device__ __forceinline__ void CountWork() {
    int32_t chunks_before = 0, parts_before = 0;
#pragma unroll 1
    for (int32_t first = 0; first < groups_; first += 32) {
      const int32_t index = first + lane_;
      int32_t chunks = 0, parts = 0;
      if (index < groups_) {
        const LoraGroup group = args_.groups[index];
#pragma unroll 1
        for (int32_t t = 0; t < args_.targets; ++t) parts += PartsOf(group, t) * LoraTiles(OutputsOf(t));
#pragma unroll 1
        for (int32_t u = group.use_begin; u < group.use_end; ++u) {
          const LoraUse use = args_.uses[u];
          for (int32_t t = 0; t < args_.targets; ++t) chunks += LoraColumns(MatrixOf(use, t).rank) / kLoraChunk;
        }
      }
#pragma unroll
      for (int32_t distance = 1; distance < 32; distance *= 2) {
        const int32_t c = __shfl_up_sync(0xffffffffu, chunks, distance), p = __shfl_up_sync(0xffffffffu, parts, distance);
        if (lane_ >= distance) chunks += c, parts += p;
      }
      if (index < groups_) {
        state_.shrink_end[index] = chunks_before + chunks;
        state_.expand_end[index] = parts_before + parts;
      }
      chunks_before += __shfl_sync(0xffffffffu, chunks, 31);
      parts_before += __shfl_sync(0xffffffffu, parts, 31);
    }
    __syncwarp();
  }

  // Of A or B: whole tiles, the last of its own width.
  __device__ __forceinline__ uint32_t MatrixBytes(int32_t rank, int32_t columns) const {
    const int32_t tiles = LoraTiles(columns);
    return static_cast<uint32_t>(rank * 2 * ((tiles - 1) * kLoraTile + LoraTileWidth(columns, tiles - 1)));
  }

  // ---- v = A x ----------------------------------------------------------------------------------------------------------

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

  // A quotient without division: both numbers are far below 2^32, so the estimate is at most two too low.
  __device__ __forceinline__ int32_t PageOf(uint32_t place) const {
    uint32_t page = __umulhi(place, slices_inverse_);
    while (place - page * args_.pool.slice_bytes >= args_.pool.slice_bytes) ++page;
    return static_cast<int32_t>(page);
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
#pragma unroll 2
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

  __device__ __forceinline__ void Shrink(int32_t first, int32_t step) {
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

  // ---- y = B v ----------------------------------------------------------------------------------------------------------

  // Tiles of one target for the rows of one group.
  struct Segment {
    LoraGroup group;
    int32_t index, target, parts;
    int32_t tile, tile_end;  // the first, and where the target or this warp's share ends
  };

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

  __device__ __forceinline__ void Expand(int32_t place, int32_t end) {
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

  const LoraSiteArgs& args_;
  float* const out_;
  const int32_t out_cols_;
  const uint32_t ring_;
  LoraWarpState& state_;
  const int32_t lane_, groups_, splits_;
  const uint32_t slices_inverse_;
  const int32_t* window_pages_ = nullptr;
  uint32_t window_offset_ = 0;  // of the matrix, whose pages these are
  int32_t window_begin_ = 0, window_id_ = 0;
};

}  // namespace chorale::cuda
