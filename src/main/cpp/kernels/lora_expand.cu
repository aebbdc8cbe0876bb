#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarps = 8;
constexpr int32_t kThreads = kWarps * 32;

// Computes   y[row][n] += sum over the group's adapters of scale * sum_j B[n][j] v[row][j], v the sum of its splits; the
//            scale is applied to v, which is then rounded to T
// Shapes     v float32 as LoraShrink leaves it; B in tiles of 128 outputs, [rank][128] T; y partial 0 of a Product
// Grid       (tiles of all targets in groups of 8, groups): a warp owns one tile of 128 outputs for up to 16 rows
// Tensor     m16n8k16: rows are a, outputs are columns of b. A lane loads 16 bytes (8 outputs) of each of four ranks and
//            pairs ranks by byte permutation, so column n of product i of a half tile is output 8n + i; a lane then
//            holds 16 neighbouring outputs of two rows.
// Shared     none
// Bound by   bytes: 2 for each rank and output of each adapter in use, and 8 for each row and output (y, in L2)
// Reference  cpu_reference.cc Gemm (LoRA part)
template <typename T>
__global__ void __launch_bounds__(kThreads) LoraExpandKernel(const LoraSiteArgs args) {
  AllowSuccessor();
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t g = lane / 4, q4 = lane % 4;
  // Which target's which tile this warp owns.
  int32_t tile = static_cast<int32_t>(blockIdx.x) * kWarps + static_cast<int32_t>(threadIdx.x) / 32;
  int32_t target = 0, target_col = 0;
  while (target < args.targets && tile * kLoraTile >= args.outputs[target]) {
    tile -= (args.outputs[target] + kLoraTile - 1) / kLoraTile;
    target_col += args.outputs[target];
    ++target;
  }
  const int32_t groups = *args.group_count;
  const int32_t splits = (args.columns + kLoraSplitInputs - 1) / kLoraSplitInputs;
  WaitForPredecessor();
  if (target == args.targets) return;
  const int32_t outputs = args.outputs[target];
  const int32_t used = min(kLoraTile, outputs - tile * kLoraTile);
  const int32_t width = LoraTileWidth(outputs, tile);

  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < groups; index += static_cast<int32_t>(gridDim.y)) {
    const LoraGroup group = args.groups[index];
    const float* v_group = args.v + group.v_offset;
    const int64_t split_stride = static_cast<int64_t>(kLoraGroupRows) * group.v_cols;
    float d[2][8][4] = {};  // [half of the tile][output i of 8][as Mma]
    bool any = false;
    int32_t v_col = 0;
    for (int32_t u = group.use_begin; u < group.use_end; ++u) {
      const LoraUse use = args.uses[u];
      int32_t v_next = v_col;
      int32_t rank = 0;
      for (int32_t t = 0; t < args.targets; ++t) {
        const int32_t r = use.matrices[args.layer * 7 + args.first_target + t].rank;
        if (t == target) rank = r;
        if (t < target) v_col += LoraColumns(r);
        v_next += LoraColumns(r);
      }
      const LoraMatrix matrix = use.matrices[args.layer * 7 + args.first_target + target];
      const float scale = matrix.scale * use.scale;
      any = any || rank > 0;
      for (int32_t rank0 = 0; rank0 < rank; rank0 += 16) {
        uint4 b[2][4];  // ranks 2 q4, 2 q4 + 1, 2 q4 + 8, 2 q4 + 9; outputs 8 g .. of each half
#pragma unroll
        for (int32_t i = 0; i < 4; ++i) {
          const int32_t j = rank0 + 2 * q4 + i % 2 + i / 2 * 8;
          const bool valid = j < rank;
          const uint8_t* row =
              valid ? LoraTileRow(args.pool, use.pages, args.layer, matrix.b_offset, rank, outputs, tile, j) : nullptr;
#pragma unroll
          for (int32_t half = 0; half < 2; ++half) {
            const int32_t chunk = half * 8 + g;
            b[half][i] = valid && chunk * 8 < width ? LoadStreaming(row + chunk * 16) : uint4{0, 0, 0, 0};
          }
        }
        uint32_t a[4];
#pragma unroll
        for (int32_t i = 0; i < 4; ++i) {  // row g ranks 2 q4, row g + 8, row g ranks 2 q4 + 8, row g + 8
          const int32_t row = g + i % 2 * 8;
          const int32_t j = rank0 + 2 * q4 + i / 2 * 8;
          float2 sum = {0, 0};
          if (row < group.row_count) {
            const float* source = v_group + row * group.v_cols + v_col + j;
            for (int32_t split = 0; split < splits; ++split) {
              const float2 part = *reinterpret_cast<const float2*>(source + split * split_stride);
              sum = {sum.x + part.x, sum.y + part.y};
            }
          }
          a[i] = PackPair<T>(j < rank ? sum.x * scale : 0.0f, j + 1 < rank ? sum.y * scale : 0.0f);
        }
#pragma unroll
        for (int32_t half = 0; half < 2; ++half) {
          const uint32_t* w0 = &b[half][0].x;
          const uint32_t* w1 = &b[half][1].x;
          const uint32_t* w2 = &b[half][2].x;
          const uint32_t* w3 = &b[half][3].x;
#pragma unroll
          for (int32_t i = 0; i < 8; ++i) {
            const uint32_t order = i % 2 == 0 ? 0x5410 : 0x7632;
            Mma<T>(d[half][i], a[0], a[1], a[2], a[3], __byte_perm(w0[i / 2], w1[i / 2], order),
                   __byte_perm(w2[i / 2], w3[i / 2], order));
          }
        }
      }
      v_col = v_next;
    }
    if (!any) continue;
#pragma unroll
    for (int32_t half = 0; half < 2; ++half) {
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {  // rows g and g + 8
        if (g + side * 8 >= group.row_count) continue;
        const int64_t place = static_cast<int64_t>(group.row_begin + g + side * 8) * args.y.cols + target_col +
                              tile * kLoraTile;
        float* y = args.y.floats() + place;
        T* half_y = static_cast<T*>(args.y.data) + place;
#pragma unroll
        for (int32_t i = 0; i < 16; i += 4) {
          const int32_t col = half * 64 + q4 * 16 + i;
          float add[4];
#pragma unroll
          for (int32_t j = 0; j < 4; ++j) add[j] = d[half][(i + j) % 8][side * 2 + (i + j) / 8];
          if (args.y.half) {
#pragma unroll
            for (int32_t j = 0; j < 4; ++j) {
              if (col + j < used) half_y[col + j] = FromFloat<T>(ToFloat(half_y[col + j]) + add[j]);
            }
          } else if (col + 4 <= used && target_col % 4 == 0 && args.y.cols % 4 == 0) {
            float4 sum = *reinterpret_cast<float4*>(y + col);
            *reinterpret_cast<float4*>(y + col) = {sum.x + add[0], sum.y + add[1], sum.z + add[2], sum.w + add[3]};
          } else {
#pragma unroll
            for (int32_t j = 0; j < 4; ++j) {
              if (col + j < used) y[col + j] += add[j];
            }
          }
        }
      }
    }
  }
}

}  // namespace

void LoraExpand(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args) {
  int32_t tiles = 0;
  for (int32_t t = 0; t < args.targets; ++t) tiles += (args.outputs[t] + kLoraTile - 1) / kLoraTile;
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraExpandKernel<decltype(type)>, dim3((tiles + kWarps - 1) / kWarps, groups_max), dim3(kThreads),
                    0, args);
  });
}

}  // namespace chorale::cuda
