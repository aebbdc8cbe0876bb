// What becomes of a tile of a product of many rows, 128 rows and two halves of 128 columns, while it is in registers.
//
// A warp has 16 rows; a lane, with g = lane / 4 and q = lane % 4, of rows g (side 0) and g + 8 (side 1) the columns 8 j + 2 q
// and the next one of each half: d[half][4 j + 2 side + i]. What a lane needs of a column 64 or 128 further it thus has itself.
#pragma once

#include <type_traits>

#include "kernels/common.cuh"
#include "kernels/kv_layout.cuh"
#include "kernels/layer_ops.h"

namespace chorale::cuda {

using TileSums = float[2][64];

// Of four lanes with the same row: register e of lane q goes to register q of lane e. A lane that had two columns of each of
// four runs of 8 then has all of one run.
__device__ __forceinline__ void TransposeOverFour(uint32_t (&t)[4]) {
  const int32_t q = static_cast<int32_t>(threadIdx.x) % 4;
#pragma unroll
  for (int32_t bit = 1; bit <= 2; bit *= 2) {
#pragma unroll
    for (int32_t i = 0; i < 4; ++i) {
      if ((i & bit) != 0) continue;
      const bool high = (q & bit) != 0;
      const uint32_t got = __shfl_xor_sync(0xffffffffu, high ? t[i] : t[i + bit], bit);
      if (high) {
        t[i] = got;
      } else {
        t[i + bit] = got;
      }
    }
  }
}

// Where the weight rows of a half of a tile begin, and storing what the lane has of the rows `row` and row + 8.

// A product of float32, or of 16 bits.
template <typename T>
struct ProductSink {
  Product y;
  int32_t rows;

  __device__ __forceinline__ int32_t WeightRow(int32_t tile, int32_t half) const { return (tile * 2 + half) * 128; }
  __device__ __forceinline__ void Store(const TileSums& d, int32_t tile, int32_t row) const {
#pragma unroll
    for (int32_t side = 0; side < 2; ++side) {
      T* line = static_cast<T*>(y.data) + static_cast<int64_t>(row + side * 8) * y.cols;
#pragma unroll
      for (int32_t half = 0; half < 2; ++half) StoreHalf(d[half], WeightRow(tile, half), side, line, row + side * 8 < rows);
    }
  }

 private:
  __device__ __forceinline__ void StoreHalf(const float (&d)[64], int32_t first, int32_t side, T* line, bool valid) const {
    const int32_t q = static_cast<int32_t>(threadIdx.x) % 4;
    if constexpr (std::is_same_v<T, float>) {
      if (!valid) return;
#pragma unroll
      for (int32_t j = 0; j < 16; ++j) {
        const int32_t col = first + 8 * j + 2 * q;
        if (col < y.cols) *reinterpret_cast<float2*>(line + col) = {d[4 * j + 2 * side], d[4 * j + 2 * side + 1]};
      }
    } else {
#pragma unroll
      for (int32_t m = 0; m < 4; ++m) {
        uint32_t eight[4];
#pragma unroll
        for (int32_t e = 0; e < 4; ++e) {
          const int32_t at = 4 * (4 * m + e) + 2 * side;
          eight[e] = PackPair<T>(d[at], d[at + 1]);
        }
        TransposeOverFour(eight);
        const int32_t col = first + 8 * (4 * m + q);
        if (valid && col < y.cols) *reinterpret_cast<uint4*>(line + col) = {eight[0], eight[1], eight[2], eight[3]};
      }
    }
  }
};

// The halves are the same columns of gate and of up.
template <typename T>
struct SwiGluSink {
  T* out;
  int32_t out_stride, intermediate, rows;
  const float* bias;

  __device__ __forceinline__ int32_t WeightRow(int32_t tile, int32_t half) const { return half * intermediate + tile * 128; }
  __device__ __forceinline__ void Store(const TileSums& d, int32_t tile, int32_t row) const {
    const int32_t q = static_cast<int32_t>(threadIdx.x) % 4;
#pragma unroll
    for (int32_t side = 0; side < 2; ++side) {
      T* line = out + static_cast<int64_t>(row + side * 8) * out_stride;
#pragma unroll
      for (int32_t m = 0; m < 4; ++m) {
        uint32_t eight[4];
#pragma unroll
        for (int32_t e = 0; e < 4; ++e) {
          float results[2];
#pragma unroll
          for (int32_t i = 0; i < 2; ++i) {
            const int32_t at = 4 * (4 * m + e) + 2 * side + i, col = tile * 128 + 8 * (4 * m + e) + 2 * q + i;
            float gate = d[0][at], up = d[1][at];
            if (bias != nullptr && col < intermediate) gate += bias[col], up += bias[intermediate + col];
            results[i] = __fdividef(gate, 1.0f + __expf(-gate)) * up;
          }
          eight[e] = PackPair<T>(results[0], results[1]);
        }
        TransposeOverFour(eight);
        const int32_t col = tile * 128 + 8 * (4 * m + q);
        if (row + side * 8 < rows && col < intermediate) {
          *reinterpret_cast<uint4*>(line + col) = {eight[0], eight[1], eight[2], eight[3]};
        }
      }
    }
  }
};

// A half is a head of q, of k or of v.
template <typename T>
struct QkvSink {
  static constexpr int32_t kDims = 128, kPairs = 64;
  QkvPostArgs post;
  int32_t rows;

  __device__ __forceinline__ int32_t WeightRow(int32_t tile, int32_t half) const { return (tile * 2 + half) * kDims; }
  __device__ __forceinline__ void Store(const TileSums& d, int32_t tile, int32_t row) const {
#pragma unroll
    for (int32_t side = 0; side < 2; ++side) {
#pragma unroll
      for (int32_t half = 0; half < 2; ++half) StoreHead(d[half], tile * 2 + half, row + side * 8, side);
    }
  }

 private:
  __device__ __forceinline__ void StoreHead(const float (&d)[64], int32_t head, int32_t row, int32_t side) const {
    const KvPages& kv = post.kv;
    const int32_t q = static_cast<int32_t>(threadIdx.x) % 4;
    if (head >= post.heads + 2 * kv.kv_heads) return;
    const bool is_q = head < post.heads, is_v = head >= post.heads + kv.kv_heads, valid = row < rows;
    const int32_t place = min(row, rows - 1);  // lanes beyond the rows still exchange registers
    const int32_t token = is_q ? 0 : post.rows.positions[place] % kv.page_tokens, page = is_q ? 0 : post.rows.pages[place];
    const float* bias = post.bias == nullptr ? nullptr : post.bias + head * kDims + 2 * q;
    const float* norm = is_v ? nullptr : is_q ? post.q_norm : post.k_norm;
    float scale = 1.0f;
    if (norm != nullptr) {
      float squares = 0.0f;
#pragma unroll
      for (int32_t j = 0; j < 16; ++j) {
#pragma unroll
        for (int32_t i = 0; i < 2; ++i) {
          const float x = d[4 * j + 2 * side + i] + (bias != nullptr ? bias[8 * j + i] : 0.0f);
          squares += x * x;
        }
      }
      squares += __shfl_xor_sync(0xffffffffu, squares, 1);
      squares += __shfl_xor_sync(0xffffffffu, squares, 2);
      scale = rsqrtf(squares / static_cast<float>(kDims) + post.eps);
    }
    const auto value = [&](int32_t j, int32_t i) {  // of dim 8 j + 2 q + i
      float x = d[4 * j + 2 * side + i];
      if (bias != nullptr) x += bias[8 * j + i];
      if (norm != nullptr) x *= scale * norm[8 * j + 2 * q + i];
      return x;
    };
    const auto* angles = reinterpret_cast<const float4*>(post.rotation + static_cast<int64_t>(place) * kPairs) + q;
    T* to = is_q ? static_cast<T*>(post.q) + (static_cast<int64_t>(place) * post.heads + head) * kDims
                 : reinterpret_cast<T*>(kv.slices + page * kv.page_bytes) +
                       KvHeadOffset(kv, is_v, head - post.heads - (is_v ? kv.kv_heads : 0));
#pragma unroll
    for (int32_t m = 0; m < 2; ++m) {
      uint32_t low[4], high[4];  // of the dims 32 m .., and 64 further
#pragma unroll
      for (int32_t e = 0; e < 4; ++e) {
        const int32_t j = 4 * m + e;
        float2 x = {value(j, 0), value(j, 1)}, y = {value(j + 8, 0), value(j + 8, 1)};
        if (!is_v) {
          const float4 a = angles[4 * j];  // (cosine, sine) of two dims
          x = {x.x * a.x - y.x * a.y, x.y * a.z - y.y * a.w};
          y = {y.x * a.x + value(j, 0) * a.y, y.y * a.z + value(j, 1) * a.w};
        }
        low[e] = PackPair<T>(x.x, x.y);
        high[e] = PackPair<T>(y.x, y.y);
      }
      TransposeOverFour(low);
      TransposeOverFour(high);
      const int32_t dim = 8 * (4 * m + q);
      if (!valid) continue;
      *reinterpret_cast<uint4*>(to + (is_q ? dim : KvOffsetInHead(kv, token, dim))) = {low[0], low[1], low[2], low[3]};
      *reinterpret_cast<uint4*>(to + (is_q ? dim + kPairs : KvOffsetInHead(kv, token, dim + kPairs))) = {high[0], high[1], high[2],
                                                                                                        high[3]};
    }
  }
};

}  // namespace chorale::cuda
