#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kRows = 32;   // outputs of a block
constexpr int32_t kRanks = 64;  // at a time
constexpr int32_t kThreads = 2 * kLoraTile;

// Computes   weight[n][k] = round(weight[n][k] + scale * sum_j B[n][j] A[j][k]), the sum over j in order, in float32
// Shapes     weight [N, K] T; A and B in tiles (memory/page_layout.h)
// Grid       (K / 128 rounded up, N / 32 rounded up): a thread owns one column and every second of 32 rows
// Shared     8 KiB: the block's part of B
// Bound by   bytes of the weights, 4 N K, up to rank 16 or so; FLOPs 2 r N K above
// Reference  cpu_reference.cc Merge
// Measured   not yet
template <typename T>
__global__ void __launch_bounds__(kThreads) LoraMergeKernel(const LoraMergeArgs args) {
  __shared__ float b[kRanks][kRows];
  AllowSuccessor();
  WaitForPredecessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t tile = static_cast<int32_t>(blockIdx.x);
  const int32_t col = tid % kLoraTile, k = tile * kLoraTile + col;
  const int32_t row0 = static_cast<int32_t>(blockIdx.y) * kRows;
  const int32_t rank = args.matrix.rank;
  float sum[kRows / 2] = {};
  for (int32_t rank0 = 0; rank0 < rank; rank0 += kRanks) {
    const int32_t ranks = min(kRanks, rank - rank0);
    __syncthreads();
    for (int32_t i = tid; i < ranks * kRows; i += kThreads) {
      const int32_t j = i / kRows, row = i % kRows;
      const auto* line = reinterpret_cast<const T*>(LoraTileRow(args.pool, args.pages, args.layer, args.matrix.b_offset, rank,
                                                                args.outputs, row0 / kLoraTile, rank0 + j));
      b[j][row] = row0 + row < args.outputs ? ToFloat(line[row0 % kLoraTile + row]) : 0.0f;
    }
    __syncthreads();
    if (k >= args.inputs) continue;
    for (int32_t j = 0; j < ranks; ++j) {
      const auto* line = reinterpret_cast<const T*>(LoraTileRow(args.pool, args.pages, args.layer, args.matrix.a_offset, rank,
                                                                args.inputs, tile, rank0 + j));
      const float a = ToFloat(line[col]);
#pragma unroll
      for (int32_t i = 0; i < kRows / 2; ++i) sum[i] += a * b[j][i * 2 + tid / kLoraTile];
    }
  }
  if (k >= args.inputs) return;
  const float scale = args.matrix.scale * args.scale;
#pragma unroll
  for (int32_t i = 0; i < kRows / 2; ++i) {
    const int32_t row = row0 + i * 2 + tid / kLoraTile;
    if (row >= args.outputs) continue;
    T* weight = static_cast<T*>(args.weight) + row * args.stride + k;
    *weight = FromFloat<T>(ToFloat(*weight) + scale * sum[i]);
  }
}

}  // namespace

void LoraMerge(Launcher& launcher, Element element, const LoraMergeArgs& args) {
  const dim3 grid((args.inputs + kLoraTile - 1) / kLoraTile, (args.outputs + kRows - 1) / kRows);
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraMergeKernel<decltype(type)>, grid, dim3(kThreads), 0, args);
  });
}

}  // namespace chorale::cuda
