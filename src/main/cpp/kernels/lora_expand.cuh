// B v for 16 rows and 32 outputs by a warp, left where the tensor cores leave it. For many rows of few adapters: B stays in
// registers from 16 rows to the next.
//
// Tensor cores: rows are a, outputs are columns of b; a lane loads 8 bytes (4 outputs) of each of four ranks and pairs ranks
// by byte permutation, so that column n of product i is output 4n + i.
#pragma once

#include "kernels/lora_tile.cuh"

namespace chorale::cuda {

inline constexpr int32_t kLoraHeld = 32;  // ranks of B in registers: as many as a warp has lanes

// Warp w has outputs 32 (w % 4) .. of a tile of one target of the site.
template <typename T>
class LoraTileProduct {
 public:
  __device__ __forceinline__ LoraTileProduct(const LoraSiteArgs& args, int32_t target, int32_t tile)
      : args_(args), target_(target), tile_(tile),
        outputs_(target == 0 ? args.outputs[0] : target == 1 ? args.outputs[1] : args.outputs[2]) {}

  // Loads the first ranks of the group's first adapter: may go before WaitForPredecessor.
  __device__ __forceinline__ void Begin(const LoraGroup& group) {
    held_use_ = -1;
    if (group.use_begin < group.use_end) Hold(group.use_begin, 0);
  }

  // d[i] += B v: of rows row + g (d[i][0], d[i][1]) and row + g + 8, counted in the group; outputs 8 q4 + i (d[i][0], d[i][2])
  // and 8 q4 + 4 + i of the warp's 32.
  __device__ __forceinline__ void Add(const LoraGroup& group, int32_t row, float (&d)[4][4]) {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, g = lane / 4, q4 = lane % 4;
    const T* v = reinterpret_cast<const T*>(args_.v + group.v_offset) + static_cast<int64_t>(row + g) * group.v_cols + 2 * q4;
    const bool low = row + g < group.row_count, high = row + g + 8 < group.row_count;
#pragma unroll 1
    for (int32_t u = group.use_begin; u < group.use_end; ++u) {
      const LoraMatrix* matrices = args_.uses[u].matrices + args_.layer * 7 + args_.first_target;
      int32_t rank = 0;
      const T* own = v;
#pragma unroll 1
      for (int32_t t = 0; t < args_.targets; ++t) {
        const int32_t columns = LoraColumns(matrices[t].rank);
        if (t == target_) rank = matrices[t].rank;
        if (t < target_) own += columns;
        v += columns;
      }
#pragma unroll 1
      for (int32_t begin = 0; begin < rank; begin += kLoraHeld) {
        if (held_use_ != u || held_begin_ != begin) Hold(u, begin);
#pragma unroll
        for (int32_t c = 0; c < kLoraHeld / kLoraChunk; ++c) {
          if (begin + c * kLoraChunk >= rank) break;
          const T* source = own + begin + c * kLoraChunk;
          const uint32_t a0 = low ? Load(source) : 0, a2 = low ? Load(source + 8) : 0;
          const uint32_t a1 = high ? Load(source + 8 * group.v_cols) : 0, a3 = high ? Load(source + 8 * group.v_cols + 8) : 0;
          const uint2(&b)[4] = b_[c];
          Mma<T>(d[0], a0, a1, a2, a3, __byte_perm(b[0].x, b[1].x, 0x5410), __byte_perm(b[2].x, b[3].x, 0x5410));
          Mma<T>(d[1], a0, a1, a2, a3, __byte_perm(b[0].x, b[1].x, 0x7632), __byte_perm(b[2].x, b[3].x, 0x7632));
          Mma<T>(d[2], a0, a1, a2, a3, __byte_perm(b[0].y, b[1].y, 0x5410), __byte_perm(b[2].y, b[3].y, 0x5410));
          Mma<T>(d[3], a0, a1, a2, a3, __byte_perm(b[0].y, b[1].y, 0x7632), __byte_perm(b[2].y, b[3].y, 0x7632));
        }
      }
    }
  }

 private:
  static __device__ __forceinline__ uint32_t Load(const T* v) { return __ldcg(reinterpret_cast<const uint32_t*>(v)); }

  // b_[c][i]: outputs 4 g .. of the warp's 32, of rank begin + 16 c + 2 q4 + i % 2 + i / 2 * 8; zero where there is none.
  __device__ __forceinline__ void Hold(int32_t use_index, int32_t begin) {
    const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, g = lane / 4, q4 = lane % 4;
    const LoraUse use = args_.uses[use_index];
    const LoraMatrix matrix = use.matrices[args_.layer * 7 + args_.first_target + target_];
    const int32_t width = LoraTileWidth(outputs_, tile_);
    const int32_t col = static_cast<int32_t>(threadIdx.x) / 32 % 4 * 32 + g * 4;
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
};

}  // namespace chorale::cuda
