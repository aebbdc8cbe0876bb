#include "kernels/attention.h"
#include "kernels/bulk_copy.cuh"
#include "kernels/kv_layout.cuh"
#include "kernels/wgmma.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarpgroups = 2;  // of 64 pairs
constexpr int32_t kConsumers = kWarpgroups * 128;
constexpr int32_t kThreads = kConsumers + 128;  // and one of which a warp copies
constexpr int32_t kKeys = 128;                 // of a tile
constexpr int32_t kStages = 2;
[[maybe_unused]] constexpr int32_t kPieceBytes = 16 * 64 * 2;   // 16 keys x 64 dims, as they lie in a page
[[maybe_unused]] constexpr float kMinusInfinity = -INFINITY;
static_assert(kWarpgroups * 64 == kPrefillTile);

template <int32_t kHeadDim>
constexpr int32_t SharedBytes() {
  return (kPrefillTile + kStages * 2 * kKeys) * kHeadDim * 2 + 1024;  // to align
}

// Computes   out[row, head] = softmax(scale * q.k) v over the keys that the row sees (causal, windowed), for the rows
//            of one sequence whose keys and values are in pages already
// Shapes     q, out [T, h * d] T; keys and values in pages (kv_layout.cuh); d = 64 or 128
// Grid       a block takes 128 pairs (row, query head of one kv head), a warpgroup 64 of them, so that a group of query
//            heads shares each tile of 128 keys; one warp copies, a piece of 16 keys x 64 dims for each lane
// Tensor     wgmma: S = Q K^T with both from shared memory; out += P V with P from registers and V as it lies (64 dims
//            of a key in a row: the transposed form of b). While one warpgroup is at its softmax the other multiplies;
//            a tile's S goes to the tensor cores right behind the P V of the tile before it.
// Shared     Q and 2 stages of K and V of 128 keys: 160 KiB for d = 128; everything in the 128-byte swizzle that pages
//            have, so tiles are copied as they lie
// Requires   sm_90a; page_tokens a multiple of 16; at most 128 query heads for each kv head; scale > 0
// Bound by   FLOPs: 4 d per pair and visible key
// Reference  cpu_reference.cc Attention
// Measured   H100, 2026-11-22, 32/8 heads of 128, causal: 142 TFLOP/s at 512 tokens, 361 at 2,048, 486 at 8,192
//            (attention_prefill.cu, by mma.sync: 76, 168, 216)
template <typename T, int32_t kHeadDim>
__global__ void __launch_bounds__(kThreads, 1)
AttentionPrefillWgmmaKernel(const AttentionArgs args, const PrefillItem* items) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int32_t kBlocks64 = kHeadDim / 64;
  constexpr uint32_t kTileBytes = kKeys * kHeadDim * 2;
  extern __shared__ uint8_t shared_bytes[];
  __shared__ uint64_t full_k[kStages], full_v[kStages], empty[kStages];
  const uint32_t queries = (SharedAddress(shared_bytes) + 1023) / 1024 * 1024;  // [d / 64][128 pairs][64]
  const uint32_t tiles = queries + kPrefillTile * kHeadDim * 2;                 // [kStages][K, V][d / 64][128 keys][64]
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x), warp = tid / 32, lane = tid % 32;
  if (tid == 0) {
    for (int32_t i = 0; i < kStages; ++i) {
      BarrierInit(&full_k[i], 1);
      BarrierInit(&full_v[i], 1);
      BarrierInit(&empty[i], kConsumers / 32);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const KvPages& kv = args.kv;
  const int32_t group = args.heads / kv.kv_heads;
  const PrefillItem item = items[blockIdx.x];
  const int32_t pairs = item.row_count * group;
  const int32_t position_begin = args.positions[item.row_begin];
  const int32_t first_pair = item.tile * kPrefillTile;
  const int32_t last_pair = min(first_pair + kPrefillTile, pairs) - 1;
  const int32_t first_position = position_begin + first_pair / group;
  const int32_t last_position = position_begin + last_pair / group;
  const int32_t first_key = args.window > 0 ? max(0, first_position + 1 - args.window) : 0;
  const int32_t key_begin = first_key / 16 * 16;
  const int32_t tile_count = (last_position + 1 - key_begin + kKeys - 1) / kKeys;

  if (warp >= kConsumers / 32) {
    RegistersDown<40>();
    if (warp > kConsumers / 32) return;
    // Lane l has piece l % 8 of 16 keys, of block l / 8 % 2 of 64 dims, of K or V.
    const int32_t* pages = args.page_ids + args.page_start[args.sequence[item.row_begin]];
    const int32_t piece = lane % 8, block = lane / 8 % 2;
    const bool is_value = lane >= 16;
    const int64_t head_bytes = 2 * KvHeadOffset(kv, is_value, item.kv_head);
    WaitForPredecessor();
    asm volatile("fence.proxy.async.global;" ::: "memory");  // keys and values were written by ordinary stores
    for (int32_t tile = 0; tile < tile_count; ++tile) {
      const int32_t stage = tile % kStages;
      if (tile >= kStages) BarrierWait(&empty[stage], static_cast<uint32_t>(tile / kStages - 1) % 2);
      const int32_t key = key_begin + tile * kKeys + piece * 16;
      const bool visible = key <= last_position && block < kBlocks64;
      const uint32_t bytes = static_cast<uint32_t>(min(kKeys / 16, (last_position - key_begin - tile * kKeys) / 16 + 1)) *
                             kBlocks64 * kPieceBytes;
      uint64_t* barrier = is_value ? &full_v[stage] : &full_k[stage];
      if (lane % 16 == 0) BarrierArriveExpecting(barrier, bytes);
      __syncwarp();
      if (!visible) continue;
      const uint8_t* source = kv.slices + pages[key / kv.page_tokens] * kv.page_bytes + head_bytes +
                              static_cast<int64_t>(block * kv.page_tokens + key % kv.page_tokens) * 128;
      CopyBytes(tiles + (static_cast<uint32_t>(stage) * 2 + (is_value ? 1 : 0)) * kTileBytes +
                    static_cast<uint32_t>(block) * kKeys * 128 + static_cast<uint32_t>(piece) * kPieceBytes,
                source, kPieceBytes, barrier);
    }
    return;
  }

  RegistersUp<232>();
  const int32_t warpgroup = tid / 128, g = lane / 4, q4 = lane % 4;
  WaitForPredecessor();
  // Pairs past the end repeat the last and are not stored.
  for (int32_t i = tid; i < kPrefillTile * kHeadDim / 8; i += kConsumers) {
    const int32_t local = i / (kHeadDim / 8), chunk = i % (kHeadDim / 8);
    const int32_t pair = min(first_pair + local, pairs - 1);
    const T* source = static_cast<const T*>(args.q) +
                      (static_cast<int64_t>(item.row_begin + pair / group) * args.heads + item.kv_head * group + pair % group) *
                          kHeadDim + chunk * 8;
    const uint4 eight = *reinterpret_cast<const uint4*>(source);
    const uint32_t place = queries + static_cast<uint32_t>(chunk / 8 * kPrefillTile + local) * 128 +
                           static_cast<uint32_t>((chunk % 8) ^ (local % 8)) * 16;
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(place), "r"(eight.x), "r"(eight.y), "r"(eight.z), "r"(eight.w)
                 : "memory");
  }
  const auto meet = [] { asm volatile("fence.proxy.async.shared::cta; bar.sync 1, 256;" ::: "memory"); };
  meet();

  const int32_t pair0 = first_pair + warpgroup * 64 + warp % 4 * 16 + g;  // and pair0 + 8
  const int32_t clamped[2] = {min(pair0, pairs - 1), min(pair0 + 8, pairs - 1)};
  const int32_t position[2] = {position_begin + clamped[0] / group, position_begin + clamped[1] / group};
  const float scale = args.scale * 1.4426950408889634f;
  const uint64_t q = WgmmaDescriptor(queries + static_cast<uint32_t>(warpgroup) * 64 * 128);
  float s[kKeys / 2], out[kHeadDim / 2];
#pragma unroll
  for (int32_t i = 0; i < kHeadDim / 2; ++i) out[i] = 0.0f;
  float m[2] = {kMinusInfinity, kMinusInfinity}, l[2] = {0, 0};

  const auto multiply_keys = [&](int32_t tile) {
    const int32_t stage = tile % kStages;
    BarrierWait(&full_k[stage], static_cast<uint32_t>(tile / kStages) % 2);
    const uint64_t k = WgmmaDescriptor(tiles + static_cast<uint32_t>(stage) * 2 * kTileBytes);
    WgmmaFence();
#pragma unroll
    for (int32_t step = 0; step < kHeadDim / 16; ++step) {  // 64 dims further: the next block
      const uint64_t offset = static_cast<uint64_t>(step % 4 * 2);
      Wgmma<T, kKeys>::Run(s, q + step / 4 * (kPrefillTile * 128 / 16) + offset, k + step / 4 * (kKeys * 128 / 16) + offset,
                           step > 0);
    }
    WgmmaCommit();
  };

  const auto softmax_and_values = [&](int32_t tile) {
    const int32_t stage = tile % kStages, key0 = key_begin + tile * kKeys;
    const bool edge = key0 + kKeys - 1 > first_position || (args.window > 0 && key0 <= last_position - args.window);
    if (edge) {
#pragma unroll
      for (int32_t i = 0; i < kKeys / 8; ++i) {
#pragma unroll
        for (int32_t j = 0; j < 4; ++j) {
          const int32_t key = key0 + i * 8 + q4 * 2 + j % 2, p = position[j / 2];
          if (key > p || (args.window > 0 && key <= p - args.window)) s[i * 4 + j] = kMinusInfinity;
        }
      }
    }
    uint32_t p[kKeys / 16][4];
#pragma unroll
    for (int32_t half = 0; half < 2; ++half) {
      float high = m[half];
#pragma unroll
      for (int32_t i = 0; i < kKeys / 8; ++i) high = fmaxf(high, fmaxf(s[i * 4 + half * 2], s[i * 4 + half * 2 + 1]));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
      high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
      const float reference = high == kMinusInfinity ? 0.0f : high * scale;  // -inf: no key so far is visible
      const float shrink = Exp2(fmaf(m[half], scale, -reference));
      m[half] = high;
      float sum = 0.0f;
#pragma unroll
      for (int32_t i = 0; i < kKeys / 8; ++i) {
        const float low = Exp2(fmaf(s[i * 4 + half * 2], scale, -reference));
        const float next = Exp2(fmaf(s[i * 4 + half * 2 + 1], scale, -reference));
        sum += low + next;
        p[i / 2][i % 2 * 2 + half] = PackPair<T>(low, next);
      }
      l[half] = l[half] * shrink + sum;
#pragma unroll
      for (int32_t i = 0; i < kHeadDim / 8; ++i) {
        out[i * 4 + half * 2] *= shrink;
        out[i * 4 + half * 2 + 1] *= shrink;
      }
    }

    BarrierWait(&full_v[stage], static_cast<uint32_t>(tile / kStages) % 2);
    const uint32_t v_tile = tiles + (static_cast<uint32_t>(stage) * 2 + 1) * kTileBytes;
    if (key0 + kKeys > last_position + 1 || key0 < first_key) {
      // Values that no query sees may be anything, even NaN, which a weight of zero does not hide.
      for (int32_t i = tid; i < kKeys * kHeadDim / 8; i += kConsumers) {
        const int32_t key = i % (kKeys * 8) / 8;
        if (key0 + key >= first_key && key0 + key <= last_position) continue;
        asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(v_tile + static_cast<uint32_t>(i) * 16), "r"(0) : "memory");
      }
      meet();
    }
    const uint64_t v = WgmmaTransposedDescriptor(v_tile, kKeys * 128);
    WgmmaFence();
#pragma unroll
    for (int32_t step = 0; step < kKeys / 16; ++step) {
      WgmmaFromRegisters<T, kHeadDim>::Run(out, p[step], v + step * (kPieceBytes / 16));
    }
    WgmmaCommit();
  };

  multiply_keys(0);
  WgmmaWait<0>();
#pragma unroll 1
  for (int32_t tile = 0; tile + 1 < tile_count; ++tile) {
    softmax_and_values(tile);
    multiply_keys(tile + 1);
    WgmmaWait<0>();
    if (lane == 0) BarrierArrive(&empty[tile % kStages]);
  }
  softmax_and_values(tile_count - 1);
  WgmmaWait<0>();

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
          PackPair<T>(out[i * 4 + half * 2] * inverse, out[i * 4 + half * 2 + 1] * inverse);
    }
  }
#endif
}

template <typename T, int32_t kHeadDim>
void LaunchPrefill(Launcher& launcher, int32_t item_count, const AttentionArgs& args, const PrefillItem* items) {
  const auto kernel = AttentionPrefillWgmmaKernel<T, kHeadDim>;
  constexpr int32_t kBytes = SharedBytes<kHeadDim>();
  launcher.Note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  launcher.Launch(kernel, dim3(item_count), dim3(kThreads), kBytes, args, items);
}

}  // namespace

void AttentionPrefillWgmma(Launcher& launcher, Element element, int32_t item_count, const AttentionArgs& args,
                           const PrefillItem* items) {
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
