#include "kernels/forms.h"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = kLoraTile;

// Computes   y = gain * y for the rows of DoRA adapters: each partial sum of the base's product, before any LoRA is added
// Shapes     y Product [T, N]; gains one rank row a target, in tiles of 128 outputs T
// Grid       (tiles of all targets, listed rows): a thread owns one output
// Requires   outputs of the targets side by side in y
// Bound by   bytes: 8 for each output and partial of a listed row, in L2 at decode
// Reference  cpu_fast.cc MultiplyByGains
// Measured   not by itself
template <typename T>
__global__ void __launch_bounds__(kThreads) MultiplyByGainsKernel(const GainArgs args) {
  AllowSuccessor();
  const LoraTargetTile mine(args.outputs, static_cast<int32_t>(blockIdx.x));
  const int32_t col = mine.tile * kLoraTile + static_cast<int32_t>(threadIdx.x);
  const bool listed = static_cast<int32_t>(blockIdx.y) < *args.rows.count && col < mine.outputs;
  const FormRow entry = listed ? args.rows.entries[blockIdx.y] : FormRow{};
  float gain = 1.0f;
  for (int32_t u = entry.use_begin; u < entry.use_end; ++u) {
    const FormUse& use = args.uses[u];
    const uint32_t place = use.gains == nullptr ? kNoGain : use.gains[args.layer * 7 + args.first_target + mine.target];
    if (place == kNoGain) continue;
    const auto* gains = reinterpret_cast<const T*>(LoraTileRow(args.pool, use.pages, args.layer, place, 1, mine.outputs, mine.tile, 0));
    gain *= ToFloat(gains[threadIdx.x]);
  }
  WaitForPredecessor();
  if (!listed || gain == 1.0f) return;
  const int64_t at = int64_t{entry.row} * args.y.cols + mine.first + col;
  if (args.y.half) {
    T& y = static_cast<T*>(args.y.data)[at];
    y = FromFloat<T>(ToFloat(y) * gain);
    return;
  }
  const int32_t partials = PartialCount(args.y, mine.first + col);
  for (int32_t i = 0; i < partials; ++i) args.y.floats()[i * args.y.partial_stride + at] *= gain;
}

constexpr int32_t kSquareRows = 8, kSquareThreads = 256;

// Computes   squares[n] = sum over k of (W[n][k] + scale * sum over j of B[n][j] A[j][k])^2, all in float64
// Shapes     W [N, stride] T; A [r, K], B [N, r] f32; squares [N] f64
// Grid       N / 8 rounded up: a block has 8 rows, a thread every 256th column of each
// Shared     256 doubles
// Bound by   FLOPs in float64, 2 r N K; beside steps, on a stream of its own, when an adapter is staged
// Reference  cpu_gains.cc
// Measured   not by itself
template <typename T>
__global__ void __launch_bounds__(kSquareThreads) RowSquaresKernel(const RowSquaresArgs args) {
  __shared__ double sums[kSquareThreads];
  const int32_t row0 = static_cast<int32_t>(blockIdx.x) * kSquareRows, tid = static_cast<int32_t>(threadIdx.x);
  const int32_t rows = min(kSquareRows, args.rows - row0);
  const float* b = args.b + static_cast<int64_t>(row0) * args.rank;
  double squares[kSquareRows] = {};
  for (int32_t k = tid; k < args.cols; k += kSquareThreads) {
    double delta[kSquareRows] = {};
    for (int32_t j = 0; j < args.rank; ++j) {
      const double a = args.a[static_cast<int64_t>(j) * args.cols + k];
#pragma unroll
      for (int32_t i = 0; i < kSquareRows; ++i) {
        if (i < rows) delta[i] += static_cast<double>(args.scale) * b[i * args.rank + j] * a;
      }
    }
#pragma unroll
    for (int32_t i = 0; i < kSquareRows; ++i) {
      if (i >= rows) continue;
      const double value = ToFloat(static_cast<const T*>(args.weight)[(row0 + i) * args.stride + k]) + delta[i];
      squares[i] += value * value;
    }
  }
#pragma unroll
  for (int32_t i = 0; i < kSquareRows; ++i) {
    __syncthreads();
    sums[tid] = squares[i];
    for (int32_t half = kSquareThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (tid < half) sums[tid] += sums[tid + half];
    }
    if (tid == 0 && i < rows) args.squares[row0 + i] = sums[0];
  }
}

}  // namespace

void MultiplyByGains(Launcher& launcher, Element element, const GainArgs& args) {
  const int32_t tiles = LoraTilesOf(args.outputs, args.targets);
  WithElement(element, [&](auto type) {
    launcher.Launch(MultiplyByGainsKernel<decltype(type)>, dim3(tiles, args.rows.entries_max), dim3(kThreads), 0, args);
  });
}

void RowSquares(Launcher& launcher, Element element, const RowSquaresArgs& args) {
  WithElement(element, [&](auto type) {
    launcher.Launch(RowSquaresKernel<decltype(type)>, dim3((args.rows + kSquareRows - 1) / kSquareRows), dim3(kSquareThreads), 0,
                    args);
  });
}

}  // namespace chorale::cuda
