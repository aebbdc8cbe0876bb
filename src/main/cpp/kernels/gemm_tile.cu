#include "kernels/common.cuh"
#include "kernels/gemm.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kRows = 64;  // of x a block
constexpr int32_t kStages = 4;
constexpr int32_t kRowBytes = kUnitInputs * 2;
constexpr int32_t kStageBytes = (kRows + kProductTile) * kRowBytes;

// Computes   y = x W^T, W [N, K] and x [M, K] of T, y a Product in float32
// Grid       (blocks of units as GemmStream, M / 64 rounded up); 8 warps, each 32 rows of x by 32 rows of W
// Tensor     mma.sync m16n8k16, x is a; tiles by cp.async in rows of 128 bytes, chunk c of row r at place c ^ (r % 8)
// Shared     4 stages of 24 KiB: 2 blocks on a multiprocessor
// Requires   K and both strides multiples of 8, bases 16-byte aligned
// Bound by   FLOPs: 2 M N K at large M, bytes 2 N K at small M; the path for devices without wgmma and for machines
//            without a vendor library
// Reference  cpu_reference.cc Gemm
// Measured   not yet
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) GemmTileKernel(const GemmTileArgs args, const int32_t units) {
  extern __shared__ __align__(128) uint8_t shared_bytes[];
  const Product& y = args.y;
  AllowSuccessor();
  WaitForPredecessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t warp = tid / 32, lane = tid % 32;
  const int32_t warp_row = warp / 4 * 32, warp_col = warp % 4 * 32;
  const int32_t matrix = lane / 8, matrix_row = lane % 8;
  const int32_t row0 = static_cast<int32_t>(blockIdx.y) * kRows;
  const uint32_t shared = SharedAddress(shared_bytes);
  const int32_t first = static_cast<int32_t>(blockIdx.x * y.units_per_block);
  const int32_t count = min(static_cast<int32_t>(y.units_per_block), units - first);
  const int32_t weight_rows = y.cols;

  const auto copy_unit = [&](int32_t i) {
    if (i < count) {
      const uint32_t unit = static_cast<uint32_t>(first + i);
      const int32_t tile_row = static_cast<int32_t>(unit / y.units_per_tile) * kProductTile;
      const int32_t k0 = static_cast<int32_t>(unit % y.units_per_tile) * kUnitInputs;
      const uint32_t stage = shared + static_cast<uint32_t>(i % kStages) * kStageBytes;
#pragma unroll
      for (int32_t piece = tid; piece < (kRows + kProductTile) * 8; piece += kThreads) {
        const int32_t line = piece / 8, chunk = piece % 8;
        const int32_t k = k0 + chunk * 8;
        const bool is_x = line < kRows;
        const int32_t row = is_x ? row0 + line : tile_row + line - kRows;
        const bool valid = k < args.inputs && row < (is_x ? args.rows : weight_rows);
        const T* base = static_cast<const T*>(is_x ? args.x : args.weight);
        const T* source = valid ? base + row * (is_x ? args.x_stride : args.weight_stride) + k : base;
        CopyAsync16(stage + line * kRowBytes + ((chunk ^ (line % 8)) * 16), source, valid);
      }
    }
    CommitCopies();
  };
  for (int32_t i = 0; i < kStages - 1; ++i) copy_unit(i);

  int32_t i = 0;
  while (i < count) {
    const uint32_t tile = static_cast<uint32_t>(first + i) / y.units_per_tile;
    const int32_t tile_end = min(count, static_cast<int32_t>((tile + 1) * y.units_per_tile) - first);
    float d[2][4][4] = {};
    for (; i < tile_end; ++i) {
      WaitForCopies<kStages - 2>();
      __syncthreads();
      copy_unit(i + kStages - 1);
      const uint32_t x_tile = shared + static_cast<uint32_t>(i % kStages) * kStageBytes;
      const uint32_t w_tile = x_tile + kRows * kRowBytes;
#pragma unroll
      for (int32_t step = 0; step < kUnitInputs / 16; ++step) {
        uint32_t a[2][4], b[2][4];
#pragma unroll
        for (int32_t m = 0; m < 2; ++m) {  // rows 0-7 k 0-7, rows 8-15 k 0-7, rows 0-7 k 8-15, rows 8-15 k 8-15
          const int32_t row = warp_row + m * 16 + matrix % 2 * 8 + matrix_row;
          LoadMatrices(a[m], x_tile + row * kRowBytes + (((step * 2 + matrix / 2) ^ matrix_row) * 16));
        }
#pragma unroll
        for (int32_t n = 0; n < 2; ++n) {  // columns 0-7 k 0-7, columns 0-7 k 8-15, then columns 8-15
          const int32_t row = warp_col + n * 16 + matrix / 2 * 8 + matrix_row;
          LoadMatrices(b[n], w_tile + row * kRowBytes + (((step * 2 + matrix % 2) ^ matrix_row) * 16));
        }
#pragma unroll
        for (int32_t m = 0; m < 2; ++m) {
#pragma unroll
          for (int32_t n = 0; n < 4; ++n) {
            Mma<T>(d[m][n], a[m][0], a[m][1], a[m][2], a[m][3], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
          }
        }
      }
    }
    const int32_t partial = static_cast<int32_t>(blockIdx.x - tile * y.units_per_tile / y.units_per_block);
    float* target = y.floats() + partial * y.partial_stride;
#pragma unroll
    for (int32_t m = 0; m < 2; ++m) {
#pragma unroll
      for (int32_t n = 0; n < 4; ++n) {
        const int32_t col = static_cast<int32_t>(tile) * kProductTile + warp_col + n * 8 + lane % 4 * 2;
#pragma unroll
        for (int32_t half = 0; half < 2; ++half) {
          const int32_t row = row0 + warp_row + m * 16 + lane / 4 + half * 8;
          if (row >= args.rows) continue;
          float* place = target + static_cast<int64_t>(row) * y.cols + col;
          if (col < y.cols) place[0] = d[m][n][half * 2];
          if (col + 1 < y.cols) place[1] = d[m][n][half * 2 + 1];
        }
      }
    }
  }
}

}  // namespace

void GemmTile(Launcher& launcher, Element element, const ProductPlan& plan, const GemmTileArgs& args) {
  const dim3 grid(plan.blocks, (args.rows + kRows - 1) / kRows);
  if (args.inputs % 8 != 0 || grid.y > 65535) {
    launcher.Note(cudaErrorInvalidValue);
    return;
  }
  WithElement(element, [&](auto type) {
    const auto kernel = GemmTileKernel<decltype(type)>;
    launcher.Note(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kStages * kStageBytes));
    launcher.Launch(kernel, grid, dim3(kThreads), kStages * kStageBytes, args, plan.units);
  });
}

}  // namespace chorale::cuda
