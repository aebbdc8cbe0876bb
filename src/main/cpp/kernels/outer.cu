// What adapters do to the embedding and to the logits.
#include <algorithm>

#include "kernels/forms.h"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = kLoraTile;
constexpr int32_t kShrinkBlocks = 8, kShrinkWarps = 8;  // a row's ranks go to as many warps in turn
constexpr int32_t kExpandEntries = 8;                   // rows that have blocks of their own; others come in turn
constexpr int32_t kHeadWarps = 8, kHeadBlocksPerSm = 3;
constexpr int32_t kHeadWords = 4, kHeadTiles = 32 / kHeadWords;  // of a warp at a time: a lane finds one row each

// Row `rank_row` of tile `tile`. Ranges may be large: counted in pieces of the shortest row, which divides all offsets.
template <typename T>
__device__ __forceinline__ const T* OuterRow(const OuterArgs& args, const int32_t* pages, const OuterMatrix& matrix, int32_t tile,
                                             int32_t rank_row) {
  constexpr int32_t kPiece = 32;
  const uint32_t place = static_cast<uint32_t>((matrix.offset + int64_t{tile} * kLoraTile * matrix.rank * 2 +
                                                int64_t{rank_row} * LoraTileWidth(matrix.columns, tile) * 2) / kPiece);
  const uint32_t page_pieces = static_cast<uint32_t>(args.page_bytes / kPiece), page = place / page_pieces;
  return reinterpret_cast<const T*>(args.pool + pages[page] * args.page_bytes + int64_t{place - page * page_pieces} * kPiece);
}

// What a lane has found, in all lanes.
template <typename T>
__device__ __forceinline__ const T* FromLane(const T* found, int32_t lane) {
  return reinterpret_cast<const T*>(__shfl_sync(0xffffffffu, reinterpret_cast<uint64_t>(found), lane));
}

// The sum over ranks j of B[j][column of the thread] * v[j], where each lane gives the v of one rank in 32.
template <typename T, typename V>
__device__ __forceinline__ float OuterOutput(const OuterArgs& args, const int32_t* pages, const OuterMatrix& b, int32_t tile,
                                             const V& v) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const bool has_column = static_cast<int32_t>(threadIdx.x) < LoraTileWidth(b.columns, tile);
  float sum = 0;
  for (int32_t begin = 0; begin < b.rank; begin += 32) {
    const int32_t ranks = min(32, b.rank - begin);
    const T* row = lane < ranks ? OuterRow<T>(args, pages, b, tile, begin + lane) : nullptr;
    const float factor = lane < ranks ? v(begin + lane) : 0.0f;
#pragma unroll 8
    for (int32_t j = 0; j < ranks; ++j) {
      const T* source = FromLane(row, j);
      const float value = has_column ? ToFloat(source[threadIdx.x]) : 0.0f;
      sum = fmaf(value, __shfl_sync(0xffffffffu, factor, j), sum);
    }
  }
  return sum;
}

// Four columns of a row of 16-bit elements.
template <typename T>
__device__ __forceinline__ float4 LoadFour(const T* source) {
  const uint2 packed = *reinterpret_cast<const uint2*>(source);
  const float2 low = UnpackPair<T>(packed.x), high = UnpackPair<T>(packed.y);
  return {low.x, low.y, high.x, high.y};
}
__device__ __forceinline__ float Dot(float sum, float4 a, float4 b) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// Computes   residual[t] += scale * B A[:, id(t)], for the listed rows, adapter after adapter
// Shapes     A in tiles of 128 words, B in tiles of 128 columns, [rank][128] T; residual [T, H] f32
// Grid       (H / 128 rounded up, listed rows): a thread owns one column
// Bound by   latency: once a step
// Reference  cpu_outer.cc AddToEmbedded
// Measured   not by itself
template <typename T>
__global__ void __launch_bounds__(kThreads) EmbedLoraKernel(const EmbedLoraArgs args) {
  AllowSuccessor();
  const int32_t tile = static_cast<int32_t>(blockIdx.x);
  const int32_t col = tile * kLoraTile + static_cast<int32_t>(threadIdx.x);
  const bool listed = static_cast<int32_t>(blockIdx.y) < *args.rows.count;
  const FormRow entry = listed ? args.rows.entries[blockIdx.y] : FormRow{};
  int32_t id = args.token_ids[entry.row];
  WaitForPredecessor();
  if (id < 0) id = max(0, args.drawn[-id - 1]);  // as Embed
  float& out = args.residual[int64_t{entry.row} * args.hidden + col];
  for (int32_t u = entry.use_begin; u < entry.use_end; ++u) {
    const FormUse& use = args.outer.uses[u];
    const float sum = OuterOutput<T>(args.outer, use.outer_pages, use.embed.b, tile, [&](int32_t j) {
      return ToFloat(OuterRow<T>(args.outer, use.outer_pages, use.embed.a, id / kLoraTile, j)[id % kLoraTile]);
    });
    if (col < args.columns) out += use.scale * use.embed.scale * sum;
  }
}

// Computes   logits[k] = W x[k] with the head W of the group's adapter, in place of the base's
// Shapes     W in tiles of 128 columns, [words][128] T; x [K, H] T; logits Product [K, words], f32
// Grid       3 blocks a multiprocessor: a warp has 4 words at a time, for all rows of a group; a lane 4 columns of each tile,
//            so that a row's sum has the same order whatever its group
// Bound by   bytes: 2 H a word, for each 8 rows of one adapter
// Reference  cpu_outer.cc AddToLogits
// Measured   docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(kHeadWarps * 32, 2) OwnHeadKernel(const HeadArgs args) {
  AllowSuccessor();
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t warp = static_cast<int32_t>(blockIdx.x) * kHeadWarps + static_cast<int32_t>(threadIdx.x) / 32;
  const int32_t warps = static_cast<int32_t>(gridDim.x) * kHeadWarps, groups = *args.groups.count;
  WaitForPredecessor();
  for (int32_t g = 0; g < groups; ++g) {
    const OwnHeadGroup group = args.groups.entries[g];
    const FormUse& use = args.outer.uses[group.use];
    const OuterMatrix head = use.own_head;
    const int32_t tiles = (head.columns + kLoraTile - 1) / kLoraTile;
#pragma unroll 1
    for (int32_t word = warp * kHeadWords; word < head.rank; word += warps * kHeadWords) {
      float sums[kHeadWords][kOwnHeadRows] = {};
#pragma unroll 1
      for (int32_t begin = 0; begin < tiles; begin += kHeadTiles) {
        const int32_t found_tile = begin + lane / kHeadWords, found_word = word + lane % kHeadWords;
        const T* found = nullptr;
        if (found_tile < tiles && found_word < head.rank) {
          found = OuterRow<T>(args.outer, use.outer_pages, head, found_tile, found_word);
        }
#pragma unroll
        for (int32_t t = 0; t < kHeadTiles; ++t) {
          const int32_t col = (begin + t) * kLoraTile + lane * 4;
          float4 weights[kHeadWords];
#pragma unroll
          for (int32_t w = 0; w < kHeadWords; ++w) {
            const T* source = FromLane(found, t * kHeadWords + w);
            const bool valid = source != nullptr && col < head.columns;
            weights[w] = valid ? LoadFour(source + lane * 4) : float4{0, 0, 0, 0};
          }
          if (col >= head.columns) continue;
#pragma unroll
          for (int32_t r = 0; r < kOwnHeadRows; ++r) {
            if (r >= group.count) break;
            const float4 x = LoadFour(static_cast<const T*>(args.x) + int64_t{group.rows[r]} * args.stride + col);
#pragma unroll
            for (int32_t w = 0; w < kHeadWords; ++w) sums[w][r] = Dot(sums[w][r], weights[w], x);
          }
        }
      }
#pragma unroll
      for (int32_t w = 0; w < kHeadWords; ++w) {
        if (word + w >= head.rank) break;
        const int32_t partials = PartialCount(args.logits, word + w);
#pragma unroll
        for (int32_t r = 0; r < kOwnHeadRows; ++r) {
          if (r >= group.count) break;
          const float sum = WarpSum(sums[w][r]);
          if (lane >= partials) continue;
          const int64_t at = int64_t{group.rows[r]} * args.logits.cols + word + w;
          args.logits.floats()[lane * args.logits.partial_stride + at] = lane == 0 ? sum : 0.0f;
        }
      }
    }
  }
}

// Computes   v = A x[k], for the listed rows and all of their adapters, one after another
// Shapes     A in tiles of 128 columns, [rank][128] T; x [K, H] T; v f32
// Grid       (8, listed rows): a warp has every 64th rank, a lane 4 columns of each tile
// Bound by   bytes: 2 H a rank and row
// Reference  cpu_outer.cc AddToLogits
// Measured   not by itself
template <typename T>
__global__ void __launch_bounds__(kShrinkWarps * 32) HeadShrinkKernel(const HeadArgs args) {
  AllowSuccessor();
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t warp = static_cast<int32_t>(blockIdx.x) * kShrinkWarps + static_cast<int32_t>(threadIdx.x) / 32;
  const FormRow entry = static_cast<int32_t>(blockIdx.y) < *args.rows.count ? args.rows.entries[blockIdx.y] : FormRow{};
  WaitForPredecessor();
  const T* x = static_cast<const T*>(args.x) + int64_t{entry.row} * args.stride;
  float* v = args.v + entry.v_offset;
  for (int32_t u = entry.use_begin; u < entry.use_end; ++u) {
    const FormUse& use = args.outer.uses[u];
    const OuterMatrix& a = use.head.a;
    for (int32_t j = warp; j < a.rank; j += kShrinkBlocks * kShrinkWarps) {
      const int32_t tiles = (a.columns + kLoraTile - 1) / kLoraTile;
      float sum = 0;
      for (int32_t begin = 0; begin < tiles; begin += 32) {
        const T* found = begin + lane < tiles ? OuterRow<T>(args.outer, use.outer_pages, a, begin + lane, j) : nullptr;
#pragma unroll 8
        for (int32_t t = 0; t < min(32, tiles - begin); ++t) {
          const T* source = FromLane(found, t);
          const int32_t col = (begin + t) * kLoraTile + lane * 4;
          if (col < a.columns) sum = Dot(sum, LoadFour(source + lane * 4), LoadFour(x + col));
        }
      }
      sum = WarpSum(sum);
      if (lane == 0) v[j] = sum;
    }
    v += a.rank;
  }
}

// Computes   logits[k] += scale * B v, for the listed rows, adapter after adapter, into the first partial
// Shapes     B in tiles of 128 words, [rank][128] T; v f32; logits Product [K, words], f32
// Grid       (words / 128 rounded up, up to 8 of the listed rows at a time): a thread owns one word
// Bound by   bytes: 2 a rank and word for each row, from L2 where rows share an adapter
// Reference  cpu_outer.cc AddToLogits
// Measured   not by itself
template <typename T>
__global__ void __launch_bounds__(kThreads) HeadExpandKernel(const HeadArgs args) {
  AllowSuccessor();
  const int32_t tile = static_cast<int32_t>(blockIdx.x);
  const int32_t word = tile * kLoraTile + static_cast<int32_t>(threadIdx.x), count = *args.rows.count;
  WaitForPredecessor();
  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < count; index += static_cast<int32_t>(gridDim.y)) {
    const FormRow entry = args.rows.entries[index];
    float& out = args.logits.floats()[int64_t{entry.row} * args.logits.cols + word];
    const float* v = args.v + entry.v_offset;
    for (int32_t u = entry.use_begin; u < entry.use_end; ++u) {
      const FormUse& use = args.outer.uses[u];
      const float sum =
          OuterOutput<T>(args.outer, use.outer_pages, use.head.b, tile, [&](int32_t j) { return v[j]; });
      if (word < args.words) out += use.scale * use.head.scale * sum;
      v += use.head.b.rank;
    }
  }
}

}  // namespace

void AddEmbedLora(Launcher& launcher, Element element, const EmbedLoraArgs& args) {
  const dim3 grid((args.columns + kLoraTile - 1) / kLoraTile, args.rows.entries_max);
  WithElement(element,
              [&](auto type) { launcher.Launch(EmbedLoraKernel<decltype(type)>, grid, dim3(kThreads), 0, args); });
}

void OwnHead(Launcher& launcher, Element element, const HeadArgs& args) {
  const dim3 grid(launcher.sm_count * kHeadBlocksPerSm);
  WithElement(element,
              [&](auto type) { launcher.Launch(OwnHeadKernel<decltype(type)>, grid, dim3(kHeadWarps * 32), 0, args); });
}

void AddHeadLora(Launcher& launcher, Element element, const HeadArgs& args) {
  const dim3 shrink(kShrinkBlocks, args.rows.entries_max);
  const dim3 expand((args.words + kLoraTile - 1) / kLoraTile, std::min(args.rows.entries_max, kExpandEntries));
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    launcher.Launch(HeadShrinkKernel<T>, shrink, dim3(kShrinkWarps * 32), 0, args);
    launcher.Launch(HeadExpandKernel<T>, expand, dim3(kThreads), 0, args);
  });
}

}  // namespace chorale::cuda
