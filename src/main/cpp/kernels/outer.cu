// What adapters do to the embedding and to the logits.
#include <algorithm>

#include "kernels/forms.h"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = kLoraTile;
constexpr int32_t kShrinkBlocks = 8, kShrinkWarps = 8;  // a row's ranks go to as many warps in turn
constexpr int32_t kExpandEntries = 8;                   // rows that have blocks of their own; others come in turn
constexpr int32_t kHeadWarps = 8, kHeadBlocksPerSm = 4, kHeadTiles = 4;

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
  const bool listed = static_cast<int32_t>(blockIdx.y) < *args.rows.count && col < args.columns;
  const FormRow entry = listed ? args.rows.entries[blockIdx.y] : FormRow{};
  int32_t id = args.token_ids[entry.row];
  WaitForPredecessor();
  if (!listed) return;
  if (id < 0) id = max(0, args.drawn[-id - 1]);  // as Embed
  float& out = args.residual[int64_t{entry.row} * args.hidden + col];
  for (int32_t u = entry.use_begin; u < entry.use_end; ++u) {
    const FormUse& use = args.outer.uses[u];
    float sum = 0;
    for (int32_t j = 0; j < use.embed.b.rank; ++j) {
      const float a = ToFloat(OuterRow<T>(args.outer, use.outer_pages, use.embed.a, id / kLoraTile, j)[id % kLoraTile]);
      sum = fmaf(ToFloat(OuterRow<T>(args.outer, use.outer_pages, use.embed.b, tile, j)[threadIdx.x]), a, sum);
    }
    out += use.scale * use.embed.scale * sum;
  }
}

// Computes   logits[k] = W x[k] with the head W of the group's adapter, in place of the base's
// Shapes     W in tiles of 128 columns, [words][128] T; x [K, H] T; logits Product [K, words], f32
// Grid       4 blocks a multiprocessor: a warp has every so-many-th word, for all rows of a group at a time; a lane 4 columns
//            of each tile, so that a row's sum has the same order whatever its group
// Bound by   bytes: 2 H a word, for each 8 rows of one adapter
// Reference  cpu_outer.cc AddToLogits
// Measured   not by itself
template <typename T>
__global__ void __launch_bounds__(kHeadWarps * 32) OwnHeadKernel(const HeadArgs args) {
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
    for (int32_t word = warp; word < head.rank; word += warps) {
      float sums[kOwnHeadRows] = {};
      for (int32_t tile = 0; tile < tiles; tile += kHeadTiles) {
        float4 weights[kHeadTiles];
#pragma unroll
        for (int32_t i = 0; i < kHeadTiles; ++i) {
          weights[i] = {0, 0, 0, 0};
          if ((tile + i) * kLoraTile + lane * 4 >= head.columns) continue;
          weights[i] = LoadFour(OuterRow<T>(args.outer, use.outer_pages, head, tile + i, word) + lane * 4);
        }
#pragma unroll
        for (int32_t i = 0; i < kHeadTiles; ++i) {
          const int32_t col = (tile + i) * kLoraTile + lane * 4;
          if (col >= head.columns) continue;
#pragma unroll
          for (int32_t r = 0; r < kOwnHeadRows; ++r) {
            if (r >= group.count) break;
            const T* x = static_cast<const T*>(args.x) + int64_t{group.rows[r]} * args.stride;
            sums[r] = Dot(sums[r], weights[i], LoadFour(x + col));
          }
        }
      }
      const int32_t partials = PartialCount(args.logits, word);
#pragma unroll
      for (int32_t r = 0; r < kOwnHeadRows; ++r) {
        const float sum = WarpSum(sums[r]);
        if (r >= group.count || lane >= partials) continue;
        const int64_t at = int64_t{group.rows[r]} * args.logits.cols + word;
        args.logits.floats()[lane * args.logits.partial_stride + at] = lane == 0 ? sum : 0.0f;
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
      float sum = 0;
      for (int32_t tile = 0, col = lane * 4; col < a.columns; ++tile, col += kLoraTile) {
        sum = Dot(sum, LoadFour(OuterRow<T>(args.outer, use.outer_pages, a, tile, j) + lane * 4), LoadFour(x + col));
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
  if (word >= args.words) return;
  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < count; index += static_cast<int32_t>(gridDim.y)) {
    const FormRow entry = args.rows.entries[index];
    float& out = args.logits.floats()[int64_t{entry.row} * args.logits.cols + word];
    const float* v = args.v + entry.v_offset;
    for (int32_t u = entry.use_begin; u < entry.use_end; ++u) {
      const FormUse& use = args.outer.uses[u];
      const OuterMatrix& b = use.head.b;
      float sum = 0;
      for (int32_t j = 0; j < b.rank; ++j) {
        sum = fmaf(ToFloat(OuterRow<T>(args.outer, use.outer_pages, b, tile, j)[threadIdx.x]), v[j], sum);
      }
      out += use.scale * use.head.scale * sum;
      v += b.rank;
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
