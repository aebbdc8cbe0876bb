#include "kernels/common.cuh"
#include "kernels/kv_layout.cuh"
#include "kernels/layer_ops.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarps = 8;
constexpr int32_t kHeadDimMax = 512;
constexpr int32_t kManyRows = 64;

// Computes   for each head of q and k: x = qkv + bias, x = RMSNorm(x) * norm (where there is one), rotated by the row's
//            angles (pairs i and i + P of the first 2P dims); for v: x = qkv + bias. q to its buffer, k and v to the
//            page of the row's position.
// Shapes     qkv Product [T, (h + 2 hk) d]; q [T, h d] T; pages as in kv_layout.cuh
// Grid       (heads in groups of 8, T); a warp owns one head of one row, a lane kWide neighbouring dims at a time
// Shared     8 x head_dim floats: the rotation needs dims that other lanes hold
// Requires   head_dim a multiple of kWide (4 or 1) and at most 512
// Bound by   bytes: (4 partials + 2) (h + 2 hk) d a row, in L2 at decode; there by latency
// Reference  cpu_reference.cc QkvPost
// Measured   H100, 2026-11-22, 32 + 2 x 8 heads of 128, in a chain: 2.0 / 2.9 / 5.2 us at 1 / 32 / 128 rows; 2,048 rows
//            48 us (51 %)
template <typename T, int32_t kWide, bool kWhole>
__global__ void __launch_bounds__(kWarps * 32) QkvPostKernel(const QkvPostArgs args) {
  extern __shared__ float staging[];  // [kWarps][head_dim]
  AllowSuccessor();
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32;
  const int32_t head = static_cast<int32_t>(blockIdx.x) * kWarps + warp;  // of q, then k, then v
  const int64_t row = blockIdx.y;
  const KvPages& kv = args.kv;
  const int32_t dims = kv.head_dim;
  if (head >= args.heads + 2 * kv.kv_heads) {
    WaitForPredecessor();
    return;
  }
  const bool is_q = head < args.heads;
  const bool is_v = head >= args.heads + kv.kv_heads;
  const int32_t position = args.rows.positions[row];
  T* target = nullptr;
  if (is_q) {
    target = static_cast<T*>(args.q) + (row * args.heads + head) * dims;
  } else {
    target = reinterpret_cast<T*>(kv.slices + args.rows.pages[row] * kv.page_bytes) +
             KvHeadOffset(kv, is_v, head - args.heads - (is_v ? kv.kv_heads : 0));
  }
  WaitForPredecessor();

  const int32_t pairs = is_v ? 0 : args.rotary_pairs;
  const float2* rotation = args.rotation + row * args.rotary_pairs;
  float2 angle[kWide];  // (cosine, sine) of the lane's first dims: on their way while the product is
#pragma unroll
  for (int32_t i = 0; i < kWide; ++i) {
    const int32_t d = lane * kWide + i;
    angle[i] = d < 2 * pairs ? rotation[d < pairs ? d : d - pairs] : float2{1, 0};
  }
  float* x = staging + warp * dims;
  float squares = 0.0f;
  for (int32_t d = lane * kWide; d < dims; d += 32 * kWide) {
    const int32_t col = head * dims + d;
    float values[kWide];
    LoadProduct<T, kWide, kWhole>(args.qkv, row, col, values);
#pragma unroll
    for (int32_t i = 0; i < kWide; ++i) {
      if (args.bias != nullptr) values[i] += args.bias[col + i];
      squares += values[i] * values[i];
      x[d + i] = values[i];
    }
  }
  const float* norm = is_v ? nullptr : is_q ? args.q_norm : args.k_norm;
  if (norm != nullptr) {
    const float scale = rsqrtf(WarpSum(squares) / static_cast<float>(dims) + args.eps);
    for (int32_t d = lane * kWide; d < dims; d += 32 * kWide) {  // each lane what it has just written
#pragma unroll
      for (int32_t i = 0; i < kWide; ++i) x[d + i] *= scale * norm[d + i];
    }
  }
  __syncwarp();

  for (int32_t d = lane * kWide; d < dims; d += 32 * kWide) {
    float y[kWide];
#pragma unroll
    for (int32_t i = 0; i < kWide; ++i) {
      const int32_t e = d + i;
      y[i] = x[e];
      if (e >= 2 * pairs) continue;
      const float2 a = d < 32 * kWide ? angle[i] : rotation[e < pairs ? e : e - pairs];
      y[i] = e < pairs ? x[e] * a.x - x[e + pairs] * a.y : x[e] * a.x + x[e - pairs] * a.y;
    }
    if (args.rotated != nullptr) {
#pragma unroll
      for (int32_t i = 0; i < kWide; ++i) args.rotated[row * args.qkv.cols + head * dims + d + i] = y[i];
    }
    T* place = target + (is_q ? d : KvOffsetInHead(kv, position % kv.page_tokens, d));
    if constexpr (kWide == 4) {
      *reinterpret_cast<uint2*>(place) = {PackPair<T>(y[0], y[1]), PackPair<T>(y[2], y[3])};
    } else {
#pragma unroll
      for (int32_t i = 0; i < kWide; ++i) place[i] = FromFloat<T>(y[i]);
    }
  }
}

// The same of many rows, whose product is whole: a warp has kManyHeads heads of a row, all of q, k or v, and a lane the dims
// 4 lane .. of each, so that their loads are under way together and what a lane rotates with is in the lane 16 further.
// Requires   head_dim 128, all of it rotated; the counts of heads multiples of kManyHeads
// Bound by   bytes: 6 (h + 2 hk) d a row
constexpr int32_t kManyHeads = 4, kManyDims = 128;
template <typename T>
__global__ void __launch_bounds__(kWarps * 32) QkvPostManyKernel(const QkvPostArgs args, const int32_t rows) {
  AllowSuccessor();
  const KvPages& kv = args.kv;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t index = static_cast<int32_t>(blockIdx.x) * kWarps + static_cast<int32_t>(threadIdx.x) / 32;
  const int32_t row_warps = (args.heads + 2 * kv.kv_heads) / kManyHeads;
  const int64_t row = index / row_warps;
  const int32_t head = index % row_warps * kManyHeads, d = lane * 4;
  const bool is_q = head < args.heads, is_v = head >= args.heads + kv.kv_heads, valid = row < rows;
  const int32_t position = valid ? args.rows.positions[row] : 0, page = valid ? args.rows.pages[row] : 0;
  WaitForPredecessor();
  if (!valid) return;

  float4 values[kManyHeads];
  const float* source = args.qkv.floats() + row * args.qkv.cols + head * kManyDims + d;
#pragma unroll
  for (int32_t i = 0; i < kManyHeads; ++i) values[i] = *reinterpret_cast<const float4*>(source + i * kManyDims);
  const auto* rotation = reinterpret_cast<const float4*>(args.rotation + row * args.rotary_pairs + d % (kManyDims / 2));
  const float4 low = rotation[0], high = rotation[1];  // (cosine, sine) of two dims each
  const float sign = d < kManyDims / 2 ? -1.0f : 1.0f;
  const float* norm = is_v ? nullptr : is_q ? args.q_norm : args.k_norm;
#pragma unroll
  for (int32_t i = 0; i < kManyHeads; ++i) {
    float4& x = values[i];
    if (args.bias != nullptr) {
      const float4 bias = *reinterpret_cast<const float4*>(args.bias + (head + i) * kManyDims + d);
      x = {x.x + bias.x, x.y + bias.y, x.z + bias.z, x.w + bias.w};
    }
    if (norm != nullptr) {
      const float squares = WarpSum(x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w);
      const float scale = rsqrtf(squares / static_cast<float>(kManyDims) + args.eps);
      const float4 weight = *reinterpret_cast<const float4*>(norm + d);
      x = {x.x * scale * weight.x, x.y * scale * weight.y, x.z * scale * weight.z, x.w * scale * weight.w};
    }
    if (!is_v) {
      const float4 other = {__shfl_xor_sync(0xffffffffu, x.x, 16), __shfl_xor_sync(0xffffffffu, x.y, 16),
                            __shfl_xor_sync(0xffffffffu, x.z, 16), __shfl_xor_sync(0xffffffffu, x.w, 16)};
      x = {x.x * low.x + sign * other.x * low.y, x.y * low.z + sign * other.y * low.w,
           x.z * high.x + sign * other.z * high.y, x.w * high.z + sign * other.w * high.w};
    }
    T* place = nullptr;
    if (is_q) {
      place = static_cast<T*>(args.q) + (row * args.heads + head + i) * kManyDims + d;
    } else {
      place = reinterpret_cast<T*>(kv.slices + page * kv.page_bytes) +
              KvHeadOffset(kv, is_v, head + i - args.heads - (is_v ? kv.kv_heads : 0)) +
              KvOffsetInHead(kv, position % kv.page_tokens, d);
    }
    *reinterpret_cast<uint2*>(place) = {PackPair<T>(x.x, x.y), PackPair<T>(x.z, x.w)};
  }
}

bool CanTakeMany(const QkvPostArgs& args) {
  return !args.qkv.half && args.rotated == nullptr && args.kv.head_dim == kManyDims &&
         args.rotary_pairs == kManyDims / 2 && args.heads % kManyHeads == 0 && args.kv.kv_heads % kManyHeads == 0;
}

}  // namespace

void QkvPost(Launcher& launcher, Element element, int32_t rows, const QkvPostArgs& args) {
  const int32_t heads = args.heads + 2 * args.kv.kv_heads;
  const dim3 grid((heads + kWarps - 1) / kWarps, rows);
  if (args.kv.head_dim > kHeadDimMax || rows > 65535) {
    launcher.Note(cudaErrorInvalidValue);
    return;
  }
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    const bool whole = args.qkv.units_per_tile == args.qkv.units_per_block;
    if (whole && rows >= kManyRows && CanTakeMany(args)) {
      const int32_t warps = rows * (heads / kManyHeads);
      launcher.Launch(QkvPostManyKernel<T>, dim3((warps + kWarps - 1) / kWarps), dim3(kWarps * 32), 0, args, rows);
      return;
    }
    const auto kernel = args.kv.head_dim % 4 != 0 ? QkvPostKernel<T, 1, false>
                        : whole                   ? QkvPostKernel<T, 4, true>
                                                  : QkvPostKernel<T, 4, false>;
    launcher.Launch(kernel, grid, dim3(kWarps * 32), kWarps * args.kv.head_dim * sizeof(float), args);
  });
}

}  // namespace chorale::cuda
