#include "kernels/attention.h"
#include "kernels/common.cuh"
#include "kernels/kv_layout.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarps = 8;
constexpr int32_t kKeys = 64;  // of a tile
constexpr int32_t kStages = 3;
constexpr float kMinusInfinity = -INFINITY;

template <int32_t kHeadDim>
constexpr size_t SharedBytes() {
  return size_t{kStages} * 2 * kKeys * kHeadDim * 2;
}

// Computes   out[row, head] = softmax(scale * q.k) v over the keys that the row sees (causal, windowed), for the rows
//            of one sequence whose keys and values are in pages already
// Shapes     q, out [T, h * d] T; keys and values in pages (kv_layout.cuh); d = 64 or 128
// Grid       a block takes 128 pairs (row, query head of one kv head), so that a group of query heads shares each tile of
//            keys; a warp 16 of them. Key tiles of 64 in rising order, kStages of them on their way.
// Tensor     S = Q K^T and out = P V by m16n8k16; softmax in registers, base 2; P from accumulators to fragments as they
//            lie. Tiles are copied as they lie in the pages, which is their conflict-free form for ldmatrix.
// Shared     3 stages x 64 keys x (K + V): 96 KiB for d = 128
// Requires   page_tokens a multiple of 16; at most 128 query heads for each kv head; scale > 0
// Bound by   FLOPs: 4 d per pair and visible key
// Used       on devices other than sm_90, which has attention_prefill_wgmma.cu
// Reference  cpu_reference.cc Attention
// Measured   H100, 2026-11-22, 32/8 heads of 128, causal: 83 TFLOP/s at 512 tokens, 184 at 2,048, 218 at 8,192
template <typename T, int32_t kHeadDim>
__global__ void __launch_bounds__(kWarps * 32, 1)
AttentionPrefillKernel(const AttentionArgs args, const PrefillItem* items) {
  constexpr int32_t kSteps = kHeadDim / 16;        // k16 steps of a dot product q.k
  constexpr int32_t kTileBytes = kKeys * kHeadDim * 2;
  constexpr int32_t kGroupBytes = 16 * kHeadDim * 2;  // of 16 keys: [d / 64][16][64]
  extern __shared__ __align__(1024) uint8_t tiles[];  // [kStages][K, V][kKeys / 16][d / 64][16][64]
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t warp = tid / 32, lane = tid % 32;
  const int32_t g = lane / 4, q4 = lane % 4;
  const KvPages& kv = args.kv;
  const int32_t group = args.heads / kv.kv_heads;
  const PrefillItem item = items[blockIdx.x];
  const int32_t pairs = item.row_count * group;
  const int32_t pair0 = item.tile * kPrefillTile + warp * 16 + g;  // and pair0 + 8
  const int32_t position_begin = args.positions[item.row_begin];
  const int32_t* pages = args.page_ids + args.page_start[args.sequence[item.row_begin]];

  // The queries of a lane: pairs pair0 and pair0 + 8. Pairs past the end repeat the last and are not stored.
  const int32_t clamped[2] = {min(pair0, pairs - 1), min(pair0 + 8, pairs - 1)};
  const int32_t position[2] = {position_begin + clamped[0] / group, position_begin + clamped[1] / group};
  int64_t place[2];
#pragma unroll
  for (int32_t i = 0; i < 2; ++i) {
    place[i] = (static_cast<int64_t>(item.row_begin + clamped[i] / group) * args.heads + item.kv_head * group +
                clamped[i] % group) * kHeadDim;
  }
  const int32_t first_pair = item.tile * kPrefillTile;
  const int32_t last_pair = min(first_pair + kPrefillTile, pairs) - 1;
  const int32_t first_position = position_begin + first_pair / group;
  const int32_t last_position = position_begin + last_pair / group;
  const int32_t first_key = args.window > 0 ? max(0, first_position + 1 - args.window) : 0;
  const int32_t key_begin = first_key / kKeys * kKeys;
  const int32_t tile_count = (last_position + 1 - key_begin + kKeys - 1) / kKeys;
  WaitForPredecessor();

  uint32_t query[kSteps][4];
#pragma unroll
  for (int32_t step = 0; step < kSteps; ++step) {
    const T* q = static_cast<const T*>(args.q) + step * 16 + q4 * 2;
    query[step][0] = *reinterpret_cast<const uint32_t*>(q + place[0]);
    query[step][1] = *reinterpret_cast<const uint32_t*>(q + place[1]);
    query[step][2] = *reinterpret_cast<const uint32_t*>(q + place[0] + 8);
    query[step][3] = *reinterpret_cast<const uint32_t*>(q + place[1] + 8);
  }

  // Copies tile `index`: 16 keys x 64 dims are 2 KiB in one piece. Keys that no query sees become zero: their
  // places may never have been written, and a NaN among the values would survive its weight of zero.
  const uint32_t shared = SharedAddress(tiles);
  const int64_t value_bytes = 2 * (KvHeadOffset(kv, true, 0) - KvHeadOffset(kv, false, 0));
  const int64_t head_bytes = 2 * KvHeadOffset(kv, false, item.kv_head);
  const auto copy_tile = [&](int32_t index) {
    const uint32_t target = shared + static_cast<uint32_t>(index % kStages) * 2 * kTileBytes;
    constexpr int32_t kPieces = kTileBytes / 16;  // of K; as many of V
#pragma unroll
    for (int32_t i = tid; i < kPieces; i += kWarps * 32) {
      const int32_t key = key_begin + index * kKeys + i / (kGroupBytes / 16) * 16;
      const int32_t rest = i % (kGroupBytes / 16);  // of the 16 keys: [d / 64][16][8 chunks]
      const int32_t token_key = key + rest % 128 / 8;
      const bool visible = token_key >= first_key && token_key <= last_position;
      const int32_t page = visible ? pages[key / kv.page_tokens] : -1;
      const int64_t offset = static_cast<int64_t>(rest / 128 * kv.page_tokens + key % kv.page_tokens) * 128 +
                             rest % 128 * 16;
      const uint8_t* source = kv.slices + max(page, 0) * kv.page_bytes + head_bytes + offset;
      CopyAsync16(target + i * 16, source, page >= 0);
      CopyAsync16(target + kTileBytes + i * 16, source + value_bytes, page >= 0);
    }
  };

  float out[kHeadDim / 8][4] = {};
  float m[2] = {kMinusInfinity, kMinusInfinity}, l[2] = {0, 0};
  const float scale = args.scale * 1.4426950408889634f;
  const int32_t matrix = lane / 8, matrix_row = lane % 8;

#pragma unroll
  for (int32_t i = 0; i < kStages - 1; ++i) {
    if (i < tile_count) copy_tile(i);
    CommitCopies();
  }
  for (int32_t tile = 0; tile < tile_count; ++tile) {
    WaitForCopies<kStages - 2>();
    __syncthreads();  // the tile is there, and the one before it has been read by all: its stage is filled next
    if (tile + kStages - 1 < tile_count) copy_tile(tile + kStages - 1);
    CommitCopies();
    const uint32_t k_tile = shared + static_cast<uint32_t>(tile % kStages) * 2 * kTileBytes;
    const uint32_t v_tile = k_tile + kTileBytes;
    const int32_t key0 = key_begin + tile * kKeys;

    float s[kKeys / 8][4] = {};
#pragma unroll
    for (int32_t step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int32_t keys16 = 0; keys16 < kKeys / 16; ++keys16) {
        // matrices: keys 0-7 dims 0-7, keys 0-7 dims 8-15, keys 8-15 dims 0-7, keys 8-15 dims 8-15
        const int32_t chunk = step * 2 + matrix % 2;
        const int32_t row = matrix / 2 * 8 + matrix_row;
        uint32_t k[4];
        LoadMatrices(k, k_tile + keys16 * kGroupBytes + chunk / 8 * 2048 + row * 128 +
                            (((chunk % 8) ^ matrix_row) * 16));
        Mma<T>(s[keys16 * 2], query[step][0], query[step][1], query[step][2], query[step][3], k[0], k[1]);
        Mma<T>(s[keys16 * 2 + 1], query[step][0], query[step][1], query[step][2], query[step][3], k[2], k[3]);
      }
    }
    const bool edge = key0 + kKeys - 1 > first_position || (args.window > 0 && key0 <= last_position - args.window);
#pragma unroll
    for (int32_t i = 0; i < kKeys / 8; ++i) {
#pragma unroll
      for (int32_t j = 0; j < 4; ++j) {
        if (!edge) break;
        const int32_t key = key0 + i * 8 + q4 * 2 + j % 2;
        const int32_t p = position[j / 2];
        if (key > p || (args.window > 0 && key <= p - args.window)) s[i][j] = kMinusInfinity;
      }
    }
#pragma unroll
    for (int32_t half = 0; half < 2; ++half) {
      float high = m[half];
#pragma unroll
      for (int32_t i = 0; i < kKeys / 8; ++i) high = fmaxf(high, fmaxf(s[i][half * 2], s[i][half * 2 + 1]));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
      const float reference = high == kMinusInfinity ? 0.0f : high * scale;  // -inf: no key so far is visible
      const float shrink = Exp2(fmaf(m[half], scale, -reference));
      m[half] = high;
      float sum = 0.0f;
#pragma unroll
      for (int32_t i = 0; i < kKeys / 8; ++i) {
        s[i][half * 2] = Exp2(fmaf(s[i][half * 2], scale, -reference));
        s[i][half * 2 + 1] = Exp2(fmaf(s[i][half * 2 + 1], scale, -reference));
        sum += s[i][half * 2] + s[i][half * 2 + 1];
      }
      l[half] = l[half] * shrink + sum;
#pragma unroll
      for (int32_t i = 0; i < kHeadDim / 8; ++i) {
        out[i][half * 2] *= shrink;
        out[i][half * 2 + 1] *= shrink;
      }
    }
#pragma unroll
    for (int32_t keys16 = 0; keys16 < kKeys / 16; ++keys16) {
      const float* low = s[keys16 * 2];
      const float* high = s[keys16 * 2 + 1];
      const uint32_t p0 = PackPair<T>(low[0], low[1]), p1 = PackPair<T>(low[2], low[3]);
      const uint32_t p2 = PackPair<T>(high[0], high[1]), p3 = PackPair<T>(high[2], high[3]);
#pragma unroll
      for (int32_t chunk = 0; chunk < kHeadDim / 8; chunk += 2) {
        // matrices: keys 0-7 chunk, keys 8-15 chunk, keys 0-7 chunk + 1, keys 8-15 chunk + 1
        const int32_t c = chunk + matrix / 2;
        const int32_t row = matrix % 2 * 8 + matrix_row;
        uint32_t v[4];
        LoadMatricesTransposed(v, v_tile + keys16 * kGroupBytes + c / 8 * 2048 + row * 128 +
                                      (((c % 8) ^ matrix_row) * 16));
        Mma<T>(out[chunk], p0, p1, p2, p3, v[0], v[1]);
        Mma<T>(out[chunk + 1], p0, p1, p2, p3, v[2], v[3]);
      }
    }
  }

#pragma unroll
  for (int32_t half = 0; half < 2; ++half) {
    float sum = l[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (pair0 + half * 8 >= pairs) continue;
    const float inverse = 1.0f / sum;
    T* target = static_cast<T*>(args.out) + static_cast<int64_t>(item.row_begin + clamped[half] / group) * args.out_stride +
                (item.kv_head * group + clamped[half] % group) * kHeadDim + q4 * 2;
#pragma unroll
    for (int32_t i = 0; i < kHeadDim / 8; ++i) {
      *reinterpret_cast<uint32_t*>(target + i * 8) =
          PackPair<T>(out[i][half * 2] * inverse, out[i][half * 2 + 1] * inverse);
    }
  }
}

template <typename T, int32_t kHeadDim>
void LaunchPrefill(Launcher& launcher, int32_t item_count, const AttentionArgs& args, const PrefillItem* items) {
  const auto kernel = AttentionPrefillKernel<T, kHeadDim>;
  constexpr size_t kBytes = SharedBytes<kHeadDim>();
  launcher.Note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kBytes)));
  launcher.Launch(kernel, dim3(item_count), dim3(kWarps * 32), kBytes, args, items);
}

}  // namespace

void AttentionPrefill(Launcher& launcher, Element element, int32_t item_count, const AttentionArgs& args,
                      const PrefillItem* items) {
  if (!HasFastAttention(args.kv.head_dim) || args.heads / args.kv.kv_heads > kPrefillTile) {
    launcher.Note(cudaErrorInvalidValue);
    return;
  }
  if (launcher.sm_major == 9) {
    AttentionPrefillWgmma(launcher, element, item_count, args, items);
    return;
  }
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    if (args.kv.head_dim == 64) {
      LaunchPrefill<T, 64>(launcher, item_count, args, items);
    } else {
      LaunchPrefill<T, 128>(launcher, item_count, args, items);
    }
  });
}

}  // namespace chorale::cuda
