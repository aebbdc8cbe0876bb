// The two units of LoRA work, for kernels of their own and for the spare warps of a product.
//
//   shrink: four warps, one group of rows, 512 inputs, all adapters and targets of the site
//   expand: one warp, one group of rows, 128 outputs of one target, all adapters
#pragma once

#include "kernels/lora_tile.cuh"

namespace chorale::cuda {

inline constexpr int32_t kLoraWarps = 4;
inline constexpr int32_t kLoraRanks = 16;  // at a time
static_assert(kLoraWarps * kLoraTile == kLoraSplitInputs);

struct LoraScratch {
  float sums[kLoraWarps][kLoraGroupRows][kLoraRanks];
  int32_t last;
};

// A barrier of the four warps of a team, each team its own; the rest of the block, if there is one, goes on.
__device__ __forceinline__ void LoraBarrier(int32_t barrier) {
  asm volatile("bar.sync %0, 128;" ::"r"(barrier) : "memory");
}

inline constexpr int32_t kLoraReady = 1 << 20;  // what `ready` of a group counts from when all of its v is there

// parts[split][row][j] = sum of A[j][k] x[row][k] over the 512 inputs k of the split, for the ranks j of all targets of the
// site and all adapters of the group, one after another, each rounded up to 16 columns (which are not written). A warp
// takes a tile of 128 inputs; the four sums are added in the order of the warps. Tensor cores: rows of the group are a,
// ranks are columns of b; a lane loads 16 bytes of a row of A and of x, since the order of inputs within k is the same.
// The team that completes the group's last split adds the splits up in their order: v[row][j], scaled, of 16 bits, with
// zeros up to the 16 columns of each rank.
template <typename T>
__device__ __forceinline__ void LoraShrinkUnit(const LoraSiteArgs& args, int32_t index, int32_t split, int32_t warp,
                                               LoraScratch& scratch, int32_t barrier) {
  const LoraGroup group = args.groups[index];
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t g = lane / 4, q4 = lane % 4;
  const int32_t tile = split * kLoraWarps + warp;
  const bool has_tile = tile * kLoraTile < args.columns;
  const int32_t width = has_tile ? LoraTileWidth(args.columns, tile) : 0;
  uint4 x[2][4];  // inputs 8 (q4 + 4 i) .. of the tile, rows g and g + 8
#pragma unroll
  for (int32_t half = 0; half < 2; ++half) {
    const int32_t row = g + half * 8;
    const T* source = static_cast<const T*>(args.x) + static_cast<int64_t>(group.row_begin + row) * args.inputs;
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      const int32_t k = tile * kLoraTile + (q4 + 4 * i) * 8;
      x[half][i] = row < group.row_count && k < args.inputs ? *reinterpret_cast<const uint4*>(source + k)
                                                            : uint4{0, 0, 0, 0};
    }
  }
  float* parts = args.v + group.v_offset + kLoraGroupRows / 2 * group.v_cols;
  const int64_t split_stride = static_cast<int64_t>(kLoraGroupRows) * group.v_cols;
  float* own = parts + split * split_stride;
  int32_t v_col = 0;
  for (int32_t u = group.use_begin; u < group.use_end; ++u) {
    const LoraUse use = args.uses[u];
    for (int32_t t = 0; t < args.targets; ++t) {
      const LoraMatrix matrix = use.matrices[args.layer * 7 + args.first_target + t];
      for (int32_t rank0 = 0; rank0 < matrix.rank; rank0 += kLoraRanks) {
        uint4 a[2][4];
#pragma unroll
        for (int32_t n = 0; n < 2; ++n) {
          const int32_t j = rank0 + n * 8 + g;
          const bool valid = has_tile && j < matrix.rank;
          const uint8_t* row = valid ? LoraTileRow(args.pool, use.pages, args.layer, matrix.a_offset, matrix.rank,
                                                   args.columns, tile, j)
                                     : nullptr;
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {
            const int32_t chunk = q4 + 4 * i;
            a[n][i] = valid && chunk * 8 < width ? LoadStreaming(row + chunk * 16) : uint4{0, 0, 0, 0};
          }
        }
#pragma unroll
        for (int32_t n = 0; n < 2; ++n) {
          float d[4] = {0, 0, 0, 0};
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {
            Mma<T>(d, x[0][i].x, x[1][i].x, x[0][i].y, x[1][i].y, a[n][i].x, a[n][i].y);
            Mma<T>(d, x[0][i].z, x[1][i].z, x[0][i].w, x[1][i].w, a[n][i].z, a[n][i].w);
          }
          *reinterpret_cast<float2*>(&scratch.sums[warp][g][n * 8 + q4 * 2]) = {d[0], d[1]};
          *reinterpret_cast<float2*>(&scratch.sums[warp][g + 8][n * 8 + q4 * 2]) = {d[2], d[3]};
        }
        LoraBarrier(barrier);
#pragma unroll
        for (int32_t i = 0; i < kLoraGroupRows * kLoraRanks / (32 * kLoraWarps); ++i) {
          const int32_t place = (warp * 32 + lane) + i * 32 * kLoraWarps;
          const int32_t row = place / kLoraRanks, j = place % kLoraRanks;
          if (row >= group.row_count || rank0 + j >= matrix.rank) continue;
          float sum = 0.0f;
#pragma unroll
          for (int32_t w = 0; w < kLoraWarps; ++w) sum += scratch.sums[w][row][j];
          own[row * group.v_cols + v_col + rank0 + j] = sum;
        }
        LoraBarrier(barrier);
      }
      v_col += LoraColumns(matrix.rank);
    }
  }

  const int32_t splits = (args.columns + kLoraSplitInputs - 1) / kLoraSplitInputs;
  int32_t* ready = args.ready + index;
  __threadfence();
  LoraBarrier(barrier);
  if (warp == 0 && lane == 0) scratch.last = atomicAdd(ready, 1) == splits - 1;
  LoraBarrier(barrier);
  if (scratch.last == 0) return;
  __threadfence();
  T* v = reinterpret_cast<T*>(args.v + group.v_offset);
  v_col = 0;
  for (int32_t u = group.use_begin; u < group.use_end; ++u) {
    const LoraUse use = args.uses[u];
    for (int32_t t = 0; t < args.targets; ++t) {
      const LoraMatrix matrix = use.matrices[args.layer * 7 + args.first_target + t];
      const int32_t cols = LoraColumns(matrix.rank);
      const float scale = matrix.scale * use.scale;
      for (int32_t i = warp * 32 + lane; i < group.row_count * cols; i += 32 * kLoraWarps) {
        const int32_t place = i / cols * group.v_cols + v_col + i % cols;
        float sum = 0.0f;
        if (i % cols < matrix.rank) {
#pragma unroll 8
          for (int32_t s = 0; s < splits; ++s) sum += __ldcg(parts + s * split_stride + place);
        }
        v[place] = FromFloat<T>(sum * scale);
      }
      v_col += cols;
    }
  }
  __threadfence();
  LoraBarrier(barrier);
  if (warp == 0 && lane == 0) atomicAdd(ready, kLoraReady);
}

struct LoraOutputTile {
  int32_t target;  // of the site; -1: there is no such tile
  int32_t tile;    // of the target
  int32_t col;     // first column of the target in y
  int32_t used;    // columns
};
// The how-manieth tile of 128 outputs of the site, target after target.
__device__ __forceinline__ LoraOutputTile FindLoraTile(const LoraSiteArgs& args, int32_t index) {
  int32_t col = 0;
#pragma unroll
  for (int32_t t = 0; t < kLoraSiteTargets; ++t) {
    if (t >= args.targets) break;
    const int32_t tiles = (args.outputs[t] + kLoraTile - 1) / kLoraTile;
    if (index < tiles) return {t, index, col, min(kLoraTile, args.outputs[t] - index * kLoraTile)};
    index -= tiles;
    col += args.outputs[t];
  }
  return {-1, 0, 0, 0};
}

// For the rows of the group: sums[row][n] = sum over its adapters of sum_j B[n][j] v[row][j]. `store(row, col, sums)` gets
// 8 neighbouring outputs, col counted from the tile's first. Tensor cores: rows are a, outputs are columns of b; a lane
// loads 16 bytes (8 outputs) of each of four ranks and pairs ranks by byte permutation, so that column n of product i of
// half a tile is output 8n + i.
template <typename T, typename Store>
__device__ __forceinline__ void LoraExpandUnit(const LoraSiteArgs& args, const LoraGroup& group,
                                               const LoraOutputTile& place, Store&& store) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t g = lane / 4, q4 = lane % 4;
  const int32_t outputs = place.target == 0 ? args.outputs[0] : place.target == 1 ? args.outputs[1] : args.outputs[2];
  const int32_t width = LoraTileWidth(outputs, place.tile);
  const T* v = reinterpret_cast<const T*>(args.v + group.v_offset);
#pragma unroll 1
  for (int32_t half = 0; half * 64 < place.used; ++half) {  // 64 outputs at a time, to fit 128 registers
    const int32_t chunk = half * 8 + g;
    float d[8][4] = {};
    int32_t v_col = 0;
    for (int32_t u = group.use_begin; u < group.use_end; ++u) {
      const LoraUse use = args.uses[u];
      const LoraMatrix* matrices = use.matrices + args.layer * 7 + args.first_target;
      for (int32_t t = 0; t < args.targets; ++t) {
        const LoraMatrix matrix = matrices[t];
        if (t != place.target) {
          v_col += LoraColumns(matrix.rank);
          continue;
        }
        for (int32_t rank0 = 0; rank0 < matrix.rank; rank0 += 16) {
          uint4 b[4];  // ranks 2 q4, 2 q4 + 1, 2 q4 + 8, 2 q4 + 9; outputs 8 g .. of the half
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {
            const int32_t j = rank0 + 2 * q4 + i % 2 + i / 2 * 8;
            b[i] = {0, 0, 0, 0};
            if (j >= matrix.rank) continue;
            const uint8_t* row =
                LoraTileRow(args.pool, use.pages, args.layer, matrix.b_offset, matrix.rank, outputs, place.tile, j);
            if (chunk * 8 < width) b[i] = LoadStreaming(row + chunk * 16);
            if (half == 0 && place.used > 64 && g == 0) PrefetchToL2(row + 128);  // the other half comes next
          }
          uint32_t a[4];
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {  // row g ranks 2 q4, row g + 8, row g ranks 2 q4 + 8, row g + 8
            const int32_t row = g + i % 2 * 8;
            const T* source = v + row * group.v_cols + v_col + rank0 + 2 * q4 + i / 2 * 8;
            a[i] = row < group.row_count ? __ldcg(reinterpret_cast<const uint32_t*>(source)) : 0;
          }
          const uint32_t* w0 = &b[0].x;
          const uint32_t* w1 = &b[1].x;
          const uint32_t* w2 = &b[2].x;
          const uint32_t* w3 = &b[3].x;
#pragma unroll
          for (int32_t i = 0; i < 8; ++i) {
            const uint32_t order = i % 2 == 0 ? 0x5410 : 0x7632;
            Mma<T>(d[i], a[0], a[1], a[2], a[3], __byte_perm(w0[i / 2], w1[i / 2], order),
                   __byte_perm(w2[i / 2], w3[i / 2], order));
          }
        }
        v_col += LoraColumns(matrix.rank);
      }
    }
#pragma unroll
    for (int32_t side = 0; side < 2; ++side) {  // rows g and g + 8
      if (g + side * 8 >= group.row_count) continue;
#pragma unroll
      for (int32_t eight = 0; eight < 2; ++eight) {
        float sums[8];
#pragma unroll
        for (int32_t i = 0; i < 8; ++i) sums[i] = d[i][side * 2 + eight];
        store(group.row_begin + g + side * 8, half * 64 + q4 * 16 + eight * 8, sums);
      }
    }
  }
}

}  // namespace chorale::cuda
