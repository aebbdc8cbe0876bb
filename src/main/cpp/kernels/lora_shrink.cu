#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarps = 8;
constexpr int32_t kThreads = kWarps * 32;
constexpr int32_t kRanks = 32;  // that a block takes at once
static_assert(kWarps * kLoraTile == kLoraSplitInputs);

// Computes   v[split][row][j] = sum of A[j][k] x[row][k] over the split's 1,024 inputs k, for the ranks j of all targets
//            of the site and all adapters of the group, one after another, each rounded up to 16 columns (which are
//            not written)
// Shapes     x [T, K] T; A in tiles of 128 inputs, [rank][128] T; v float32
// Grid       (K / 1024 rounded up, groups): a warp takes one tile of 128 inputs for all ranks, 32 at a time; the
//            block's eight sums are added in shared memory in the order of the warps
// Tensor     m16n8k16: the group's rows are a, ranks are columns of b. A lane loads 16 bytes of a row of A and of x: the
//            order of inputs within k is the same for both.
// Shared     16 KiB
// Requires   rows of x are multiples of 8 elements and 16-byte aligned
// Bound by   bytes: 2 K for each rank of each adapter in use
// Reference  cpu_reference.cc Gemm (LoRA part)
template <typename T>
__global__ void __launch_bounds__(kThreads) LoraShrinkKernel(const LoraSiteArgs args) {
  __shared__ float sums[kWarps][kLoraGroupRows][kRanks];
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t warp = tid / 32, lane = tid % 32;
  const int32_t g = lane / 4, q4 = lane % 4;
  const int32_t split = static_cast<int32_t>(blockIdx.x);
  const int32_t tile = split * kWarps + warp;
  const int32_t groups = *args.group_count;
  const bool has_tile = tile * kLoraTile < args.columns;
  const int32_t width = has_tile ? LoraTileWidth(args.columns, tile) : 0;
  WaitForPredecessor();

  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < groups; index += static_cast<int32_t>(gridDim.y)) {
    const LoraGroup group = args.groups[index];
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
    float* v = args.v + group.v_offset + static_cast<int64_t>(split) * kLoraGroupRows * group.v_cols;
    int32_t v_col = 0;
    for (int32_t u = group.use_begin; u < group.use_end; ++u) {
      const LoraUse use = args.uses[u];
      for (int32_t t = 0; t < args.targets; ++t) {
        const LoraMatrix matrix = use.matrices[args.layer * 7 + args.first_target + t];
        for (int32_t rank0 = 0; rank0 < matrix.rank; rank0 += kRanks) {
          uint4 a[kRanks / 8][4];
#pragma unroll
          for (int32_t n = 0; n < kRanks / 8; ++n) {
            const int32_t j = rank0 + n * 8 + g;
            const bool valid = has_tile && j < matrix.rank;
            const uint8_t* row =
                valid ? LoraTileRow(args.pool, use.pages, args.layer, matrix.a_offset, matrix.rank, args.columns, tile, j)
                      : nullptr;
#pragma unroll
            for (int32_t i = 0; i < 4; ++i) {
              const int32_t chunk = q4 + 4 * i;
              a[n][i] = valid && chunk * 8 < width ? LoadStreaming(row + chunk * 16) : uint4{0, 0, 0, 0};
            }
          }
#pragma unroll
          for (int32_t n = 0; n < kRanks / 8; ++n) {
            float d[4] = {0, 0, 0, 0};
#pragma unroll
            for (int32_t i = 0; i < 4; ++i) {
              Mma<T>(d, x[0][i].x, x[1][i].x, x[0][i].y, x[1][i].y, a[n][i].x, a[n][i].y);
              Mma<T>(d, x[0][i].z, x[1][i].z, x[0][i].w, x[1][i].w, a[n][i].z, a[n][i].w);
            }
            *reinterpret_cast<float2*>(&sums[warp][g][n * 8 + q4 * 2]) = {d[0], d[1]};
            *reinterpret_cast<float2*>(&sums[warp][g + 8][n * 8 + q4 * 2]) = {d[2], d[3]};
          }
          __syncthreads();
          for (int32_t i = tid; i < kLoraGroupRows * kRanks; i += kThreads) {
            const int32_t row = i / kRanks, j = i % kRanks;
            if (row >= group.row_count || rank0 + j >= matrix.rank) continue;
            float sum = 0.0f;
#pragma unroll
            for (int32_t w = 0; w < kWarps; ++w) sum += sums[w][row][j];
            v[row * group.v_cols + v_col + rank0 + j] = sum;
          }
          __syncthreads();
        }
        v_col += LoraColumns(matrix.rank);
      }
    }
  }
}

}  // namespace

void LoraShrink(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args) {
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraShrinkKernel<decltype(type)>, dim3(LoraSplits(args.columns), groups_max), dim3(kThreads), 0,
                    args);
  });
}

}  // namespace chorale::cuda
