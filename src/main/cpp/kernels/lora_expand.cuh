// B v for 16 rows and 32 outputs by a warp, left where the tensor cores leave it. For many rows of few adapters: B stays in
// registers from 16 rows to the next.
//
// Tensor cores: rows are a, outputs are columns of b; a lane loads 8 bytes (4 outputs) of each of four ranks and pairs ranks
// by byte permutation, so that column n of product i is output 4n + i.
#pragma once

#include "kernels/lora_tile.cuh"

namespace chorale::cuda {

inline constexpr int32_t kLoraHeld = 32;  // ranks of B in registers: as many as a warp has lanes

// Warp w of four has 32 outputs of a tile of one target of the site: 32 w .., or with kHalves 16 w .. and 64 + 16 w ..
template <typename T, bool kHalves = false>
class LoraTileProduct {
 public:
  __device__ __forceinline__ LoraTileProduct(const LoraSiteArgs& args, int32_t target, int32_t tile)
      : args_(args), target_(target), tile_(tile),
        outputs_(target == 0 ? args.outputs[0] : target == 1 ? args.outputs[1] : args.outputs[2]) {}

  // Loads the first ranks of the group's first adapter: may go before WaitForPredecessor.
  __device__ __forceinline__ void Begin(const LoraGroup& group) {
    held_use_ = -1;
    quick_ = false;
    if (group.use_begin == group.use_end) return;
    Hold(group.use_begin, 0);
    const LoraMatrix* matrices = args_.uses[group.use_begin].matrices + args_.layer * 7 + args_.first_target;
    rank_ = matrices[target_].rank;
    v_col_ = 0;
    for (int32_t t = 0; t < target_; ++t) v_col_ += LoraColumns(matrices[t].rank);
    quick_ = group.use_begin + 1 == group.use_end && rank_ <= kLoraHeld;
  }

  // Lets the 16 rows' part of v come, of a group with one adapter whose B is held; to be called before Add of the same rows.
  __device__ __forceinline__ void LoadRows(const LoraGroup& group, int32_t row) {
    if (!quick_) return;
#pragma unroll
    for (int32_t c = 0; c < kLoraHeld / kLoraChunk; ++c) {
      if (c * kLoraChunk < rank_) LoadChunk(group, row, v_col_ + c * kLoraChunk, v_[c]);
    }
  }

  // d[i] += B v: of rows row + g (d[i][0], d[i][1]) and row + g + 8, counted in the group; with q4 = lane % 4 the warp's
  // outputs 8 q4 + i (d[i][0], d[i][2]) and 8 q4 + 4 + i, or with kHalves the outputs 4 q4 + i of its halves.
  __device__ __forceinline__ void Add(const LoraGroup& group, int32_t row, float (&d)[4][4]) {
    if (quick_) {
#pragma unroll
      for (int32_t c = 0; c < kLoraHeld / kLoraChunk; ++c) {
        if (c * kLoraChunk < rank_) Multiply(v_[c], b_[c], d);
      }
      return;
    }
    int32_t before = 0;  // columns of v
#pragma unroll 1
    for (int32_t u = group.use_begin; u < group.use_end; ++u) {
      const LoraMatrix* matrices = args_.uses[u].matrices + args_.layer * 7 + args_.first_target;
      int32_t rank = 0, own = 0;
#pragma unroll 1
      for (int32_t t = 0; t < args_.targets; ++t) {
        if (t == target_) rank = matrices[t].rank, own = before;
        before += LoraColumns(matrices[t].rank);
      }
#pragma unroll 1
      for (int32_t begin = 0; begin < rank; begin += kLoraHeld) {
        if (held_use_ != u || held_begin_ != begin) Hold(u, begin);
#pragma unroll
        for (int32_t c = 0; c < kLoraHeld / kLoraChunk; ++c) {
          if (begin + c * kLoraChunk >= rank) break;
          uint32_t rows[4];
          LoadChunk(group, row, own + begin + c * kLoraChunk, rows);
          Multiply(rows, b_[c], d);
        }
      }
    }
  }

 private:
  static __device__ __forceinline__ uint32_t Load(const T* v) { return __ldcg(reinterpret_cast<const uint32_t*>(v)); }

  // 16 ranks of v from column `col` on, as the tensor cores want them: rows row + g and row + g + 8.
  __device__ __forceinline__ void LoadChunk(const LoraGroup& group, int32_t row, int32_t col, uint32_t (&rows)[4]) const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, g = lane / 4, q4 = lane % 4;
    const T* v = reinterpret_cast<const T*>(args_.v + group.v_offset) + static_cast<int64_t>(row + g) * group.v_cols + 2 * q4 + col;
    const bool low = row + g < group.row_count, high = row + g + 8 < group.row_count;
    rows[0] = low ? Load(v) : 0, rows[2] = low ? Load(v + 8) : 0;
    rows[1] = high ? Load(v + 8 * group.v_cols) : 0, rows[3] = high ? Load(v + 8 * group.v_cols + 8) : 0;
  }

  static __device__ __forceinline__ void Multiply(const uint32_t (&v)[4], const uint2 (&b)[4], float (&d)[4][4]) {
    Mma<T>(d[0], v[0], v[1], v[2], v[3], __byte_perm(b[0].x, b[1].x, 0x5410), __byte_perm(b[2].x, b[3].x, 0x5410));
    Mma<T>(d[1], v[0], v[1], v[2], v[3], __byte_perm(b[0].x, b[1].x, 0x7632), __byte_perm(b[2].x, b[3].x, 0x7632));
    Mma<T>(d[2], v[0], v[1], v[2], v[3], __byte_perm(b[0].y, b[1].y, 0x5410), __byte_perm(b[2].y, b[3].y, 0x5410));
    Mma<T>(d[3], v[0], v[1], v[2], v[3], __byte_perm(b[0].y, b[1].y, 0x7632), __byte_perm(b[2].y, b[3].y, 0x7632));
  }

  // b_[c][i]: outputs 4 g .. of the warp's 32 (with kHalves 4 (g / 2) .. of its half g % 2), of rank
  // begin + 16 c + 2 q4 + i % 2 + i / 2 * 8; zero where there is none.
  __device__ __forceinline__ void Hold(int32_t use_index, int32_t begin) {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, g = lane / 4, q4 = lane % 4;
    const LoraUse use = args_.uses[use_index];
    const LoraMatrix matrix = use.matrices[args_.layer * 7 + args_.first_target + target_];
    const int32_t width = LoraTileWidth(outputs_, tile_);
    const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32 % 4;
    const int32_t col = kHalves ? g % 2 * (kLoraTile / 2) + warp * 16 + g / 2 * 4 : warp * 32 + g * 4;
    const int32_t ranks = min(kLoraHeld, matrix.rank - begin);
    const uint8_t* row = args_.pool.pages;  // lane j finds row j
    if (lane < ranks) {
      row = LoraTileRow(args_.pool, use.pages, args_.layer, matrix.b_offset, matrix.rank, outputs_, tile_, begin + lane);
    }
#pragma unroll
    for (int32_t c = 0; c < kLoraHeld / kLoraChunk; ++c) {
#pragma unroll
      for (int32_t i = 0; i < 4; ++i) {
        const int32_t j = c * kLoraChunk + 2 * q4 + i % 2 + i / 2 * 8;
        const auto source = reinterpret_cast<const uint8_t*>(__shfl_sync(0xffffffffu, reinterpret_cast<uint64_t>(row), j));
        b_[c][i] = j < ranks && col < width ? LoadStreaming8(source + col * 2) : uint2{0, 0};
      }
    }
    held_use_ = use_index;
    held_begin_ = begin;
  }

  const LoraSiteArgs& args_;
  const int32_t target_, tile_, outputs_;
  int32_t held_use_ = -1, held_begin_ = -1;  // whose ranks are in b_, and from which on
  uint2 b_[kLoraHeld / kLoraChunk][4];
  bool quick_ = false;         // one adapter, all of whose ranks are in b_
  int32_t rank_ = 0, v_col_ = 0;  // its rank and where its part of a row of v begins
  uint32_t v_[kLoraHeld / kLoraChunk][4];
};

// Calls visit(group, begin, end) for each piece of up to 64 rows of a group that is this block's; the predecessor is waited for
// before the first. Groups without adapters are left out where `adapters_only`.
template <typename Visit>
__device__ __forceinline__ void ForEachLoraPiece(const LoraSiteArgs& lora, int32_t pieces, bool adapters_only, Visit visit) {
  const int32_t groups = *lora.group_count;
  bool waited = false;
#pragma unroll 1
  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < groups * pieces; index += static_cast<int32_t>(gridDim.y)) {
    const LoraGroup group = lora.groups[index / pieces];
    const int32_t begin = index % pieces * kLoraPieceRows, end = min(begin + kLoraPieceRows, group.row_count);
    if ((adapters_only && group.use_begin == group.use_end) || begin >= end) continue;
    if (!waited) WaitForPredecessor();
    waited = true;
    visit(group, begin, end);
  }
  if (!waited) WaitForPredecessor();
}

// What a lane needs of the product for up to 64 rows, kCount times 16 bytes for each 16 rows: all of it is asked for before
// the first is used. A lane reads what it has copied itself, so nothing but its own copies is waited for.
template <int32_t kCount>
struct LaneRows {
  static constexpr int32_t kRounds = kLoraPieceRows / 16, kThreads = 128;
  uint4 (&pieces)[kRounds][kCount][kThreads];  // in shared memory

  __device__ __forceinline__ void Copy(int32_t round, int32_t i, const void* source) const {
    CopyAsync16(SharedAddress(&pieces[round][i][threadIdx.x]), source, true);
  }
  // Asks for all of it, by copy(round, side, row): row, one of the lane's in [begin, end), is 16 round + lane / 4 + 8 side on
  // from begin. Every round is committed, those without rows too.
  template <typename CopyRow>
  __device__ __forceinline__ void Ask(int32_t begin, int32_t end, CopyRow copy) const {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
#pragma unroll 1
    for (int32_t round = 0; round < kRounds; ++round) {
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {
        const int32_t row = begin + round * 16 + lane / 4 + side * 8;
        if (row < end) copy(round, side, row);
      }
      CommitCopies();
    }
  }
  __device__ __forceinline__ void Wait(int32_t round) const { WaitForAllBut(kRounds - 1 - round); }
  __device__ __forceinline__ uint4 Read(int32_t round, int32_t i) const { return pieces[round][i][threadIdx.x]; }
};

}  // namespace chorale::cuda
