#include <algorithm>
#include <type_traits>

#include "kernels/common.cuh"
#include "kernels/exchange.cuh"
#include "kernels/layer_ops.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreadsMax = 1024;
constexpr int32_t kManyRows = 64;
constexpr int32_t kFoursMax = 4;  // groups of four columns that a thread holds: hidden <= 4 * 4 * 1024
// Over shards, what a thread waits for is on the way of everything: blocks of 512 or 256 threads, which leave registers to
// the product after them, were slower (a sum of 8 KiB 1.8 us instead of 1.3; a step of 32 rows 3.49 and 3.70 ms instead of
// 3.43).

// Writes what a thread has of a row, v: of columns 4 threadIdx.x on, and each 4 blockDim.x further. weight(i, column) is the
// norm's of v[i].
template <typename T, int32_t kFours, typename Weight>
__device__ __forceinline__ void WriteNormed(const AddNormArgs& args, int64_t row, const float4 (&v)[kFours], float squares,
                                            Weight weight) {
  const float mean = squares / static_cast<float>(args.hidden_real);
  const float scale = rsqrtf(mean + args.eps);
  T* out = static_cast<T*>(args.out) + row * args.hidden;
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t col = static_cast<int32_t>(threadIdx.x) * 4 + i * static_cast<int32_t>(blockDim.x) * 4;
    if (col >= args.hidden) continue;
    const float4 w = weight(i, col);
    *reinterpret_cast<uint2*>(out + col) = {PackPair<T>(v[i].x * scale * w.x, v[i].y * scale * w.y),
                                            PackPair<T>(v[i].z * scale * w.z, v[i].w * scale * w.w)};
  }
}

// Computes   residual += delta (the sum of its partials) + bias;  out = residual * rsqrt(mean(residual^2) + eps) * norm
//            kShards: delta + bias is first summed over the shards, each shard's share rounded to T (exchange.h)
// Shapes     residual [T, H] f32; delta Product [T, H]; bias, norm [H] f32; out [T, H] T
// Grid       one block a row; a thread owns 4 columns in each of up to kFours places, H / 4 threads rounded up to
//            warps.
//            A warp's 128 columns are one tile of the product, so the number of partials is the same in all its lanes.
//            kShards: a block waits for the block of the same row on the other GPUs. Blocks send before they wait and
//            begin in the order of rows, so the first row that is not done can always be finished.
// Shared     32 floats
// Requires   H a multiple of 8; bases 16-byte aligned; columns from hidden_real on are zero
// Bound by   bytes: (12 + 4 partials + 2) H a row, nearly all in L2 at decode; there by latency (about 3 us)
//            kShards: 2 H bytes a row to each other shard over NVLink, and its latency
// Reference  cpu_reference.cc AddNorm
// Measured   H100, 2026-11-22, H = 4096, in a chain: 2.1 / 2.2 / 3.1 us at 1 / 32 / 128 rows; 2,048 rows 48 us (78 %)
//            two H200, kShards: 1.3 / 1.9 / 3.1 us more (PyTorch's one-shot kernel alone 6.5 / 8.5 / 13.8)
template <typename T, int32_t kFours, bool kShards>
__global__ void __maxnreg__(kFours == 1 ? 32 : kShards && kFours == 2 ? 48 : 64) AddNormKernel(const AddNormArgs args) {
  __shared__ float scratch[32];
  AllowSuccessor();
  const int32_t first = static_cast<int32_t>(threadIdx.x) * 4;
  const int32_t step = static_cast<int32_t>(blockDim.x) * 4;
  float4 weight[kFours];
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t col = first + i * step;
    weight[i] = col < args.hidden ? *reinterpret_cast<const float4*>(args.norm + col) : float4{0, 0, 0, 0};
  }
  const int64_t row = blockIdx.x;
  WaitForPredecessor();

  float* residual = args.residual + row * args.hidden;
  float4 v[kFours];
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t col = first + i * step;
    v[i] = {0, 0, 0, 0};
    if (col >= args.hidden || args.delta.data == nullptr) continue;
    float values[4];
    LoadProduct<T, 4>(args.delta, row, col, values);
    v[i] = {values[0], values[1], values[2], values[3]};
    if (args.delta_bias != nullptr) {
      const float4 bias = *reinterpret_cast<const float4*>(args.delta_bias + col);
      v[i] = {v[i].x + bias.x, v[i].y + bias.y, v[i].z + bias.z, v[i].w + bias.w};
    }
  }
  if constexpr (kShards) SumOverShards<T, kFours>(args.exchange, row, first, step, args.hidden, v);
  float squares = 0.0f;
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t col = first + i * step;
    if (col >= args.hidden) continue;
    const float4 before = *reinterpret_cast<const float4*>(residual + col);
    v[i] = {before.x + v[i].x, before.y + v[i].y, before.z + v[i].z, before.w + v[i].w};
    if (args.delta.data != nullptr) *reinterpret_cast<float4*>(residual + col) = v[i];
    squares += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
  }
  WriteNormed<T>(args, row, v, BlockSum(squares, scratch), [&](int32_t i, int32_t) { return weight[i]; });
}

// The same of many rows, whose product is whole: a thread has four places of 4 columns, whose loads are under way together,
// and blocks are small, so that some load while others wait for their sum.
// Requires   H at most 16 * 1024
// Bound by   bytes: 14 H a row, 12 H where the product has 16 bits
constexpr int32_t kManyFours = 4;
template <typename T, bool kHalf>
__global__ void __maxnreg__(64) AddNormManyKernel(const AddNormArgs args) {
  __shared__ float scratch[32];
  AllowSuccessor();
  WaitForPredecessor();
  const int32_t first = static_cast<int32_t>(threadIdx.x) * 4;
  const int32_t step = static_cast<int32_t>(blockDim.x) * 4;
  const int64_t row = blockIdx.x;
  float* residual = args.residual + row * args.hidden;
  float4 v[kManyFours];
  uint4 delta[kManyFours];
#pragma unroll
  for (int32_t i = 0; i < kManyFours; ++i) {
    const int32_t col = first + i * step;
    v[i] = {0, 0, 0, 0};
    if (col >= args.hidden) continue;
    v[i] = *reinterpret_cast<const float4*>(residual + col);
    if constexpr (kHalf) {
      const uint2 packed = LoadStreaming8(static_cast<const T*>(args.delta.data) + row * args.delta.cols + col);
      delta[i].x = packed.x, delta[i].y = packed.y;
    } else {
      delta[i] = LoadStreaming(args.delta.floats() + row * args.delta.cols + col);
    }
  }
  float squares = 0.0f;
#pragma unroll
  for (int32_t i = 0; i < kManyFours; ++i) {
    const int32_t col = first + i * step;
    if (col >= args.hidden) continue;
    float4 more;
    if constexpr (kHalf) {
      const float2 low = UnpackPair<T>(delta[i].x), high = UnpackPair<T>(delta[i].y);
      more = {low.x, low.y, high.x, high.y};
    } else {
      more = {__uint_as_float(delta[i].x), __uint_as_float(delta[i].y), __uint_as_float(delta[i].z), __uint_as_float(delta[i].w)};
    }
    if (args.delta_bias != nullptr) {
      const float4 bias = *reinterpret_cast<const float4*>(args.delta_bias + col);
      more = {more.x + bias.x, more.y + bias.y, more.z + bias.z, more.w + bias.w};
    }
    v[i] = {v[i].x + more.x, v[i].y + more.y, v[i].z + more.z, v[i].w + more.w};
    *reinterpret_cast<float4*>(residual + col) = v[i];
    squares += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
  }
  WriteNormed<T>(args, row, v, BlockSum(squares, scratch),
                 [&](int32_t, int32_t col) { return *reinterpret_cast<const float4*>(args.norm + col); });
}

bool CanTakeMany(const AddNormArgs& args) {
  const Product& delta = args.delta;
  static_assert(kManyFours >= kFoursMax);
  return delta.data != nullptr && delta.units_per_tile == delta.units_per_block &&
         args.exchange.shards <= 1;
}

// Computes   product partial 0 = the sum of all shards' products (each the sum of its partials) + bias
// Grid       one block a row; a thread owns 4 columns, and others as AddNorm's do
// Bound by   as AddNorm with kShards; for looking at intermediate results, not for serving
template <typename T, int32_t kFours>
__global__ void __maxnreg__(64) SumShardsKernel(const Product product, const float* bias,
                                                                  const Exchange exchange) {
  AllowSuccessor();
  WaitForPredecessor();
  const int32_t first = static_cast<int32_t>(threadIdx.x) * 4;
  const int32_t step = static_cast<int32_t>(blockDim.x) * 4;
  const int64_t row = blockIdx.x;
  float4 v[kFours];
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t col = first + i * step;
    v[i] = {0, 0, 0, 0};
    if (col >= product.cols) continue;
    float values[4];
    LoadProduct<T, 4>(product, row, col, values);
    v[i] = {values[0], values[1], values[2], values[3]};
    if (bias == nullptr) continue;
    const float4 more = *reinterpret_cast<const float4*>(bias + col);
    v[i] = {v[i].x + more.x, v[i].y + more.y, v[i].z + more.z, v[i].w + more.w};
  }
  SumOverShards<T, kFours>(exchange, row, first, step, product.cols, v);
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t col = first + i * step;
    if (col >= product.cols) continue;
    const int64_t at = row * product.cols + col;
    if (product.half) {
      *reinterpret_cast<uint2*>(static_cast<T*>(product.data) + at) = PackFour<T>(v[i]);
    } else {
      *reinterpret_cast<float4*>(product.floats() + at) = v[i];
    }
  }
}

int32_t ThreadsOf(int32_t hidden) { return std::min((hidden / 4 + 31) / 32 * 32, kThreadsMax); }

// Calls f with how many groups of four columns a thread has.
template <typename F>
void WithFours(int32_t hidden, int32_t threads, F&& f) {
  if (hidden <= threads * 4) {
    f(std::integral_constant<int32_t, 1>());
  } else if (hidden <= threads * 8) {
    f(std::integral_constant<int32_t, 2>());
  } else {
    f(std::integral_constant<int32_t, kFoursMax>());
  }
}

}  // namespace

void AddNorm(Launcher& launcher, Element element, int32_t rows, const AddNormArgs& args) {
  if (rows >= kManyRows && CanTakeMany(args)) {
    const int32_t warp_cols = kManyFours * 4 * 32, few = (args.hidden + warp_cols - 1) / warp_cols * 32;
    WithElement(element, [&](auto type) {
      using T = decltype(type);
      launcher.Launch(args.delta.half ? AddNormManyKernel<T, true> : AddNormManyKernel<T, false>, dim3(rows), dim3(few), 0, args);
    });
    return;
  }
  const bool shards = args.exchange.shards > 1;
  const int32_t threads = ThreadsOf(args.hidden);
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    WithFours(args.hidden, threads, [&](auto fours) {
      launcher.Launch(shards ? AddNormKernel<T, fours(), true> : AddNormKernel<T, fours(), false>, dim3(rows), dim3(threads), 0,
                      args);
    });
  });
}

void SumShards(Launcher& launcher, Element element, int32_t rows, const Product& product, const float* bias,
               const Exchange& exchange) {
  const int32_t threads = ThreadsOf(product.cols);
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    WithFours(product.cols, threads, [&](auto fours) {
      launcher.Launch(SumShardsKernel<T, fours()>, dim3(rows), dim3(threads), 0, product, bias, exchange);
    });
  });
}

}  // namespace chorale::cuda
