#include <algorithm>

#include "kernels/kv_layout.cuh"
#include "kernels/layer_ops.h"
#include "kernels/lora_expand.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kDims = kLoraTile, kPairs = kDims / 2;  // of a head
constexpr int32_t kLanePieces = 8;                        // of 16 bytes, of a lane and 16 rows
using Rows = LaneRows<kLanePieces>;
constexpr int32_t kSharedBytes = Rows::kRounds * kLanePieces * Rows::kThreads * 16;

// Computes   what QkvPost does (qkv_post.cu) of a whole float32 product of many rows, + B v (lora_expand.cuh)
// Shapes     qkv [T, (h + 2 hk) 128]; v as LoraShrink leaves it; q [T, 128 h] T; pages as in kv_layout.cuh
// Grid       (heads of q, k and v, groups x pieces of 64 rows): a tile of B is a head. A warp has 16 dims of either half of
//            it, so that a lane has both dims of each pair that is rotated, 16 rows at a time, the product loaded to where
//            the tensor cores leave B v
// Shared     64 KiB: what the lanes need of the product and of the angles, all under way before B is looked up
// Requires   head_dim 128, all of it rotated, no norms; bases 16-byte aligned; the groups cover all rows
// Bound by   bytes: 6 (h + 2 hk) 128 a row
// Reference  cpu_reference.cc Gemm (LoRA part), QkvPost
// Measured   within whole steps: docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(128, 3) QkvPostLoraKernel(const QkvPostArgs args, const LoraSiteArgs lora) {
  AllowSuccessor();
  const KvPages& kv = args.kv;
  const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32, lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t head = static_cast<int32_t>(blockIdx.x);
  const bool is_q = head < args.heads, is_v = head >= args.heads + kv.kv_heads;
  const int32_t target = is_q ? 0 : is_v ? 2 : 1, own_head = head - (is_q ? 0 : is_v ? args.heads + kv.kv_heads : args.heads);
  const int32_t dim = warp * 16 + lane % 4 * 4;  // the first of the lane's four; the others are kPairs further
  const float* product = args.qkv.floats() + head * kDims + dim;
  LoraTileProduct<T, true> part(lora, target, own_head);
  // [round][4 row's half + ..]: both halves of the product, then the angles, two pairs in each piece
  extern __shared__ uint4 shared_pieces[];
  const Rows ahead{*reinterpret_cast<uint4(*)[Rows::kRounds][kLanePieces][Rows::kThreads]>(shared_pieces)};
  __shared__ int32_t tokens[kLoraPieceRows], row_pages[kLoraPieceRows];  // of a row: its place in its page, and the page
  ForEachLoraPiece(lora, kLoraPieces, false, [&](const LoraGroup& group, int32_t row_begin, int32_t row_end) {
    ahead.Ask(row_begin, row_end, [&](int32_t round, int32_t side, int32_t row) {
      const float* source = product + static_cast<int64_t>(group.row_begin + row) * args.qkv.cols;
      ahead.Copy(round, side * 4, source);
      ahead.Copy(round, side * 4 + 1, source + kPairs);
      if (is_v) return;
      const float2* angles = args.rotation + static_cast<int64_t>(group.row_begin + row) * kPairs + dim;
      ahead.Copy(round, side * 4 + 2, angles);
      ahead.Copy(round, side * 4 + 3, angles + 2);
    });
    __syncthreads();  // those of the rows before were read
    const auto place = static_cast<int32_t>(threadIdx.x);
    if (!is_q && place < row_end - row_begin) {
      tokens[place] = args.rows.positions[group.row_begin + row_begin + place] % kv.page_tokens;
      row_pages[place] = args.rows.pages[group.row_begin + row_begin + place];
    }
    __syncthreads();
    part.Begin(group);
    part.LoadRows(group, row_begin);
#pragma unroll 1
    for (int32_t row = row_begin, round = 0; row < row_end; row += 16, ++round) {
      float d[4][4] = {};
      part.Add(group, row, d);
      part.LoadRows(group, row + 16);
      ahead.Wait(round);
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {
        if (row + lane / 4 + side * 8 >= row_end) continue;
        const int64_t own = group.row_begin + row + lane / 4 + side * 8;  // of the step
        float y[2][4];
#pragma unroll
        for (int32_t half = 0; half < 2; ++half) {
          const uint4 four = ahead.Read(round, side * 4 + half);
          const uint32_t values[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {
            y[half][i] = __uint_as_float(values[i]) + d[i][side * 2 + half];
            if (args.bias != nullptr) y[half][i] += args.bias[head * kDims + half * kPairs + dim + i];
          }
        }
        if (!is_v) {
          const uint4 angles[2] = {ahead.Read(round, side * 4 + 2), ahead.Read(round, side * 4 + 3)};  // (cosine, sine) twice
#pragma unroll
          for (int32_t i = 0; i < 4; ++i) {
            const float cosine = __uint_as_float(i % 2 == 0 ? angles[i / 2].x : angles[i / 2].z);
            const float sine = __uint_as_float(i % 2 == 0 ? angles[i / 2].y : angles[i / 2].w);
            const float low = y[0][i], high = y[1][i];
            y[0][i] = low * cosine - high * sine;
            y[1][i] = high * cosine + low * sine;
          }
        }
        const int32_t in_piece = static_cast<int32_t>(own) - group.row_begin - row_begin, token = is_q ? 0 : tokens[in_piece];
        T* to = is_q ? static_cast<T*>(args.q) + (own * args.heads + own_head) * kDims
                     : reinterpret_cast<T*>(kv.slices + row_pages[in_piece] * kv.page_bytes) + KvHeadOffset(kv, is_v, own_head);
#pragma unroll
        for (int32_t half = 0; half < 2; ++half) {
          const int32_t d0 = half * kPairs + dim;
          *reinterpret_cast<uint2*>(to + (is_q ? d0 : KvOffsetInHead(kv, token, d0))) = {PackPair<T>(y[half][0], y[half][1]),
                                                                                      PackPair<T>(y[half][2], y[half][3])};
        }
      }
    }
  });
}

}  // namespace

bool CanQkvPostLora(const QkvPostArgs& args) {
  return !args.qkv.half && args.qkv.units_per_tile == args.qkv.units_per_block &&
         args.rotated == nullptr && args.q_norm == nullptr && args.k_norm == nullptr && args.kv.head_dim == kDims &&
         args.rotary_pairs == kPairs;
}

void QkvPostLora(Launcher& launcher, Element element, const QkvPostArgs& args, int32_t groups_max, const LoraSiteArgs& lora) {
  const dim3 grid(args.heads + 2 * args.kv.kv_heads, std::min(groups_max * kLoraPieces, 65535));
  WithElement(element, [&](auto type) {
    const auto kernel = QkvPostLoraKernel<decltype(type)>;
    launcher.Note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
    launcher.Launch(kernel, grid, dim3(128), kSharedBytes, args, lora);
  });
}

}  // namespace chorale::cuda
