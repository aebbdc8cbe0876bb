#include <algorithm>

#include "kernels/attention.h"
#include "kernels/common.cuh"
#include "kernels/kv_layout.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarps = 4;
constexpr int32_t kStep = kWarps * 16;  // keys from a warp's tile to its next
constexpr int32_t kAhead = 1;           // tiles that a warp fetches to L2 beyond the one that it loads
constexpr float kMinusInfinity = -INFINITY;
constexpr float kLeast = -1e30f;  // below any logit

// Computes   out[row, head] = sum_t p_t v_t, p = softmax(scale * q.k_t) over the keys t that the row sees
// Shapes     q, out [T, h * d] T; keys and values in pages (kv_layout.cuh); d = 64 or 128
// Grid       as many blocks as fit on the device; each computes the items that the plan gives it (row, up to 8 query
//            heads of one kv head, a range of keys). The 4 warps of a block take every fourth 16 keys of the range and
//            keep their own (m, l, out), merged at the end. The block that finishes last of a row's splits adds their
//            partial results in the order of the splits, so the sum does not depend on which block that was.
// Tensor     S = K Q^T with the keys as rows of m16 and the heads as n8; out^T = V^T P. Keys go from memory to the
//            fragments directly: the order of dims within k is the same for q and k, so any will do. P is turned by
//            movmatrix; V^T fragments are made of two tokens' words by byte permutation, which orders the dims of a
//            fragment 8g + 2i, 8g + 2i + 1. A fragment of unused heads (MHA: 7 of 8) costs nothing that matters here.
// Shared     1.1 KiB for each head (d = 128); 3 blocks on a multiprocessor: 12 warps with 8 KiB of loads each in flight
// Requires   keys of an item begin at a multiple of 16; page_tokens a multiple of 16
// Bound by   bytes: 4 d per key and kv head
// Reference  cpu_reference.cc Attention
// Measured   H100, 2026-11-22, 32/8 heads of 128, one layer: 1 x 1,024 keys 9.6 us (14 %), 32 x 1,024 55.6 us (78 %),
//            128 x 1,024 202 us (86 %), 32 x 4,096 200 us (87 %)
template <typename T, int32_t kHeadDim>
__global__ void __launch_bounds__(kWarps * 32, kDecodeBlocksPerSm)
AttentionDecodeKernel(const AttentionArgs args, const DecodeWork work) {
  constexpr int32_t kChunks = kHeadDim / 32;   // 16-byte chunks of a row that a lane holds
  constexpr int32_t kBlocks64 = kHeadDim / 64;
  constexpr int32_t kStride = kHeadDim + kDecodePadding;
  extern __shared__ float scratch[];  // [2][heads][kStride], then m and l [2][heads][2]
  __shared__ int32_t last;
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t warp = tid / 32, lane = tid % 32;
  const int32_t g = lane / 4, q4 = lane % 4;
  const KvPages& kv = args.kv;
  const int32_t group = args.heads / kv.kv_heads;
  const float scale = args.scale * 1.4426950408889634f;
  const int32_t item_begin = work.block_start[blockIdx.x], item_end = work.block_start[blockIdx.x + 1];

  for (int32_t index = item_begin; index < item_end; ++index) {
    const DecodeItem item = work.items[index];
    const int32_t position = args.positions[item.row];
    const int32_t first_key = args.window > 0 ? max(0, position + 1 - args.window) : 0;
    const int32_t end = item.key_end;
    const int32_t kv_head = item.head / group;
    const int32_t heads = min(kDecodeHeads, (kv_head + 1) * group - item.head);
    const int32_t* pages = args.page_ids + args.page_start[args.sequence[item.row]];
    const T* k_base = reinterpret_cast<const T*>(kv.slices) + KvHeadOffset(kv, false, kv_head);
    const int64_t v_offset = KvHeadOffset(kv, true, 0);
    const int64_t page_elements = kv.page_bytes / 2;
    const int32_t block_elements = kv.page_tokens * 64;
    int32_t key = item.key_begin + warp * 16;
    const auto page_of = [&](int32_t tile_key) { return tile_key < end ? pages[tile_key / kv.page_tokens] : 0; };
    const auto prefetch = [&](int32_t tile_key, int32_t tile_page) {
      if (tile_key >= end || lane >= 16 * kBlocks64) return;
      const T* line = k_base + tile_page * page_elements + lane / 16 * block_elements +
                      (tile_key % kv.page_tokens + lane % 16) * 64;
      PrefetchToL2(line);
      PrefetchToL2(line + v_offset);
    };
    int32_t next_pages[kAhead + 1];  // of the warp's tile at hand and those after it
#pragma unroll
    for (int32_t i = 0; i <= kAhead; ++i) next_pages[i] = page_of(key + i * kStep);
    if (index == item_begin) {
      // All but the newest token's keys and values are there: let the first tile come while the predecessor ends.
      prefetch(key, next_pages[0]);
      WaitForPredecessor();
    }
#pragma unroll
    for (int32_t i = 1; i < kAhead; ++i) prefetch(key + i * kStep, next_pages[i]);

    uint4 query[kChunks];  // dims 8 (q4 + 4i) .. of head g
    {
      const T* source = static_cast<const T*>(args.q) + static_cast<int64_t>(item.row) * args.heads * kHeadDim +
                        (item.head + g) * kHeadDim + q4 * 8;
#pragma unroll
      for (int32_t i = 0; i < kChunks; ++i) {
        query[i] = g < heads ? *reinterpret_cast<const uint4*>(source + i * 32) : uint4{0, 0, 0, 0};
      }
    }
    float out[kBlocks64 * 4][4] = {};
    float m0 = kMinusInfinity, m1 = kMinusInfinity, l0 = 0.0f, l1 = 0.0f;  // of heads 2 q4 and 2 q4 + 1

    for (; key < end; key += kStep) {
      const int32_t token = key % kv.page_tokens;
      const T* k_page = k_base + next_pages[0] * page_elements + token * 64;
      const T* v_page = k_page + v_offset;
      uint4 k[2][kChunks], v[kBlocks64][4];
#pragma unroll
      for (int32_t i = 0; i < kChunks; ++i) {
        const int32_t place = i / 2 * block_elements + (((q4 + 4 * (i % 2)) ^ g) * 8);
        k[0][i] = LoadStreaming(k_page + place + g * 64);
        k[1][i] = LoadStreaming(k_page + place + (g + 8) * 64);
      }
#pragma unroll
      for (int32_t b = 0; b < kBlocks64; ++b) {
#pragma unroll
        for (int32_t j = 0; j < 4; ++j) {
          const int32_t t = 2 * q4 + j % 2 + j / 2 * 8;
          v[b][j] = LoadStreaming(v_page + b * block_elements + t * 64 + ((g ^ (t % 8)) * 8));
        }
      }
      prefetch(key + kAhead * kStep, next_pages[kAhead]);
#pragma unroll
      for (int32_t i = 0; i < kAhead; ++i) next_pages[i] = next_pages[i + 1];
      next_pages[kAhead] = page_of(key + (kAhead + 1) * kStep);

      float s[4] = {0, 0, 0, 0};
#pragma unroll
      for (int32_t i = 0; i < kChunks; ++i) {
        Mma<T>(s, k[0][i].x, k[1][i].x, k[0][i].y, k[1][i].y, query[i].x, query[i].y);
        Mma<T>(s, k[0][i].z, k[1][i].z, k[0][i].w, k[1][i].w, query[i].z, query[i].w);
      }
#pragma unroll
      for (int32_t i = 0; i < 4; ++i) s[i] *= scale;
      if (key < first_key || key + 16 > end) {  // an edge: keys that the row does not see, and their values, do not count
        const bool low = key + g >= first_key && key + g < end;
        const bool high = key + g + 8 >= first_key && key + g + 8 < end;
        if (!low) s[0] = s[1] = kMinusInfinity;
        if (!high) s[2] = s[3] = kMinusInfinity;
#pragma unroll
        for (int32_t j = 0; j < 4; ++j) {
          const int32_t t = key + 2 * q4 + j % 2 + j / 2 * 8;
          if (t >= first_key && t < end) continue;
#pragma unroll
          for (int32_t b = 0; b < kBlocks64; ++b) v[b][j] = {0, 0, 0, 0};
        }
      }
      float high0 = fmaxf(s[0], s[2]), high1 = fmaxf(s[1], s[3]);
#pragma unroll
      for (int32_t mask = 4; mask < 32; mask *= 2) {
        high0 = fmaxf(high0, __shfl_xor_sync(0xffffffffu, high0, mask));
        high1 = fmaxf(high1, __shfl_xor_sync(0xffffffffu, high1, mask));
      }
      if (__any_sync(0xffffffffu, high0 > m0 || high1 > m1)) {
        const float new0 = fmaxf(m0, high0), new1 = fmaxf(m1, high1);
        const float shrink0 = Exp2(m0 - new0), shrink1 = Exp2(m1 - new1);
        m0 = new0;
        m1 = new1;
        l0 *= shrink0;
        l1 *= shrink1;
#pragma unroll
        for (int32_t tile = 0; tile < kBlocks64 * 4; ++tile) {
          out[tile][0] *= shrink0;
          out[tile][1] *= shrink1;
          out[tile][2] *= shrink0;
          out[tile][3] *= shrink1;
        }
      }
      s[0] = Exp2(s[0] - m0);
      s[1] = Exp2(s[1] - m1);
      s[2] = Exp2(s[2] - m0);
      s[3] = Exp2(s[3] - m1);
      l0 += s[0] + s[2];
      l1 += s[1] + s[3];
      const uint32_t p0 = TransposeMatrix(PackPair<T>(s[0], s[1]));
      const uint32_t p1 = TransposeMatrix(PackPair<T>(s[2], s[3]));
#pragma unroll
      for (int32_t b = 0; b < kBlocks64; ++b) {
        const uint32_t* w0 = &v[b][0].x;
        const uint32_t* w1 = &v[b][1].x;
        const uint32_t* w2 = &v[b][2].x;
        const uint32_t* w3 = &v[b][3].x;
#pragma unroll
        for (int32_t i = 0; i < 4; ++i) {
          Mma<T>(out[b * 4 + i], __byte_perm(w0[i], w1[i], 0x5410), __byte_perm(w0[i], w1[i], 0x7632),
                 __byte_perm(w2[i], w3[i], 0x5410), __byte_perm(w2[i], w3[i], 0x7632), p0, p1);
        }
      }
    }

    // Warps 2 and 3 hand their results to 0 and 1, then 1 to 0: fixed order, little shared memory.
#pragma unroll
    for (int32_t mask = 4; mask < 32; mask *= 2) {
      l0 += __shfl_xor_sync(0xffffffffu, l0, mask);
      l1 += __shfl_xor_sync(0xffffffffu, l1, mask);
    }
    const int32_t heads_max = min(kDecodeHeads, group);
    const bool has0 = 2 * q4 < heads, has1 = 2 * q4 + 1 < heads;
#pragma unroll
    for (int32_t givers = 2; givers >= 1; givers /= 2) {
      float* place = scratch + warp % givers * heads_max * kStride;
      float* stats = scratch + 2 * heads_max * kStride + warp % givers * heads_max * 2;
      if (warp >= givers && warp < 2 * givers) {
        if (g == 0 && has0) *reinterpret_cast<float2*>(stats + 4 * q4) = {m0, l0};
        if (g == 0 && has1) *reinterpret_cast<float2*>(stats + 4 * q4 + 2) = {m1, l1};
#pragma unroll
        for (int32_t tile = 0; tile < kBlocks64 * 4; ++tile) {
          const int32_t d = tile / 4 * 64 + 8 * g + 2 * (tile % 4);
          if (has0) *reinterpret_cast<float2*>(place + 2 * q4 * kStride + d) = {out[tile][0], out[tile][2]};
          if (has1) *reinterpret_cast<float2*>(place + (2 * q4 + 1) * kStride + d) = {out[tile][1], out[tile][3]};
        }
      }
      __syncthreads();
      if (warp < givers) {
        const float2 other0 = has0 ? *reinterpret_cast<const float2*>(stats + 4 * q4) : float2{kMinusInfinity, 0};
        const float2 other1 = has1 ? *reinterpret_cast<const float2*>(stats + 4 * q4 + 2) : float2{kMinusInfinity, 0};
        // A warp without keys has m = -inf; where both have none the sums are zero whatever the factors are.
        const float new0 = fmaxf(fmaxf(m0, other0.x), kLeast), new1 = fmaxf(fmaxf(m1, other1.x), kLeast);
        const float own0 = Exp2(m0 - new0), own1 = Exp2(m1 - new1);
        const float given0 = Exp2(other0.x - new0), given1 = Exp2(other1.x - new1);
        m0 = new0;
        m1 = new1;
        l0 = l0 * own0 + other0.y * given0;
        l1 = l1 * own1 + other1.y * given1;
#pragma unroll
        for (int32_t tile = 0; tile < kBlocks64 * 4; ++tile) {
          const int32_t d = tile / 4 * 64 + 8 * g + 2 * (tile % 4);
          const float2 a = has0 ? *reinterpret_cast<const float2*>(place + 2 * q4 * kStride + d) : float2{0, 0};
          const float2 b = has1 ? *reinterpret_cast<const float2*>(place + (2 * q4 + 1) * kStride + d) : float2{0, 0};
          out[tile][0] = out[tile][0] * own0 + a.x * given0;
          out[tile][2] = out[tile][2] * own0 + a.y * given0;
          out[tile][1] = out[tile][1] * own1 + b.x * given1;
          out[tile][3] = out[tile][3] * own1 + b.y * given1;
        }
      }
      __syncthreads();
    }

    // The block's result, in warp 0: either the output, or a partial one.
    if (warp == 0) {
      T* target = static_cast<T*>(args.out) + static_cast<int64_t>(item.row) * args.out_stride + item.head * kHeadDim;
      const int64_t slot = (int64_t{item.partial} + item.split) * kDecodeHeads;
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {
        const int32_t head = 2 * q4 + side;
        if (head >= heads) continue;
        const float l = side == 0 ? l0 : l1;
        if (item.splits > 1 && g == 0) work.partial_stats[slot + head] = {side == 0 ? m0 : m1, l};
#pragma unroll
        for (int32_t tile = 0; tile < kBlocks64 * 4; ++tile) {
          const int32_t d = tile / 4 * 64 + 8 * g + 2 * (tile % 4);
          const float low = out[tile][side], high = out[tile][side + 2];
          if (item.splits == 1) {
            *reinterpret_cast<uint32_t*>(target + head * kHeadDim + d) = PackPair<T>(low / l, high / l);
          } else {
            *reinterpret_cast<float2*>(work.partial_out + (slot + head) * kHeadDim + d) = {low, high};
          }
        }
      }
    }
    if (item.splits > 1) {
      __threadfence();
      __syncthreads();
      if (tid == 0) last = atomicAdd(work.tickets + item.ticket, 1) == item.splits - 1;
      __syncthreads();
      if (last != 0) {
        __threadfence();
        for (int32_t i = tid; i < heads * kHeadDim / 2; i += kWarps * 32) {
          const int32_t head = i / (kHeadDim / 2), d = i % (kHeadDim / 2) * 2;
          const int64_t slot = int64_t{item.partial} * kDecodeHeads + head;
          float m = kMinusInfinity;
          for (int32_t split = 0; split < item.splits; ++split) {
            m = fmaxf(m, __ldcg(&work.partial_stats[slot + split * kDecodeHeads]).x);
          }
          float l = 0.0f;
          float2 sum = {0, 0};
          for (int32_t split = 0; split < item.splits; ++split) {
            const int64_t at = slot + split * kDecodeHeads;
            const float2 stats = __ldcg(&work.partial_stats[at]);
            const float factor = Exp2(stats.x - m);
            const float2 part = __ldcg(reinterpret_cast<const float2*>(work.partial_out + at * kHeadDim + d));
            l += factor * stats.y;
            sum = {sum.x + factor * part.x, sum.y + factor * part.y};
          }
          T* target = static_cast<T*>(args.out) + static_cast<int64_t>(item.row) * args.out_stride;
          *reinterpret_cast<uint32_t*>(target + (item.head + head) * kHeadDim + d) = PackPair<T>(sum.x / l, sum.y / l);
        }
        if (tid == 0) work.tickets[item.ticket] = 0;
      }
    }
    __syncthreads();  // `last` is written again
  }
}

}  // namespace

void AttentionDecode(Launcher& launcher, Element element, const AttentionArgs& args, const DecodeWork& work) {
  if (!HasFastAttention(args.kv.head_dim)) {
    launcher.Note(cudaErrorInvalidValue);
    return;
  }
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    launcher.Launch(args.kv.head_dim == 64 ? AttentionDecodeKernel<T, 64> : AttentionDecodeKernel<T, 128>,
                    dim3(launcher.sm_count * kDecodeBlocksPerSm), dim3(kWarps * 32),
                    DecodeSharedBytes(std::min(kDecodeHeads, args.heads / args.kv.kv_heads), args.kv.head_dim), args, work);
  });
}

}  // namespace chorale::cuda
