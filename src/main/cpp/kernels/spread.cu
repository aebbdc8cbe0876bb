#include "kernels/exchange.cuh"
#include "kernels/spread.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kFours = 4;
constexpr int32_t kBlockCols = kThreads * 4 * kFours;

// Computes   whole[s][row][first + c] = the sum of own[row][c]'s partials, for every shard s; then each block that has
//            done so counts itself in the arrivals of the others
// Shapes     own Product [T, cols] f32; whole [T, stride] f32, on each GPU
// Grid       x: 4,096 columns, y: a row; a thread owns four neighbouring columns, and four every 1,024 on
// Shared     none
// Requires   first and stride multiples of 4, bases 16-byte aligned
// Bound by   NVLink: 4 cols bytes a row to each other shard
// Reference  cpu_shards.cc AllGather
// Measured   not by itself: one launch a step
__global__ void __launch_bounds__(kThreads) SpreadKernel(const SpreadArgs args) {
  AllowSuccessor();
  WaitForPredecessor();
  const int64_t row = blockIdx.y;
  const int32_t begin = static_cast<int32_t>(blockIdx.x) * kBlockCols + static_cast<int32_t>(threadIdx.x) * 4;
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t col = begin + i * kThreads * 4;
    if (col >= args.cols) continue;
    float values[4];
    LoadProduct<bf16, 4>(args.own, row, col, values);
    for (int32_t to = 0; to < args.shards; ++to) {
      float* target = args.whole[to] + row * args.stride + args.first + col;
      if (col + 4 <= args.cols) {
        *reinterpret_cast<float4*>(target) = {values[0], values[1], values[2], values[3]};
      } else {
        for (int32_t c = 0; c < args.cols - col; ++c) target[c] = values[c];
      }
    }
  }
  __syncthreads();
  if (threadIdx.x < args.shards && threadIdx.x != args.shard) AddArrival(args.arrivals[threadIdx.x] + args.shard);
}

// Waits until every other shard's blocks have counted themselves, and sets the counts back.
// Grid       one block, a thread for each shard
__global__ void AwaitArrivalsKernel(const SpreadArgs args) {
  AllowSuccessor();
  WaitForPredecessor();
  const auto from = static_cast<int32_t>(threadIdx.x);
  if (from >= args.shards || from == args.shard) return;
  AwaitArrivals(args.arrivals[args.shard] + from, args.expected[from], MissedState(args.shard, from), args.state, args.patience_nanos);
}

}  // namespace

int32_t SpreadBlocks(int64_t cols) { return static_cast<int32_t>((cols + kBlockCols - 1) / kBlockCols); }

void Spread(Launcher& launcher, int32_t rows, const SpreadArgs& args) {
  if (args.cols > 0) launcher.Launch(SpreadKernel, dim3(SpreadBlocks(args.cols), rows), dim3(kThreads), 0, args);
  launcher.Launch(AwaitArrivalsKernel, dim3(1), dim3(32), 0, args);
}

}  // namespace chorale::cuda
