#include <algorithm>

#include "kernels/cluster.cuh"
#include "kernels/exchange.cuh"
#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarps = 8;
constexpr int32_t kThreads = kWarps * 32;
constexpr int32_t kRows = kLoraPieceRows;
constexpr int32_t kChunks = 4;                      // of 16 ranks, in a pass
constexpr int32_t kRanks = kChunks * kLoraChunk;
constexpr int32_t kRowBytes = kLoraTile * 2;
// So much that two blocks have room on a multiprocessor: else not all clusters are resident at once.
constexpr int32_t kSharedBytes = 75 * 1024;
constexpr int32_t kSumStride = kRanks + 4;          // floats
static_assert(kRows * kSumStride * 4 <= kSharedBytes);
constexpr int32_t kClusterMax = 8, kClusterUsual = 4;

// 16 ranks of one target of one adapter.
struct Chunk {
  const int32_t* pages;
  uint32_t offset;
  int32_t rank, rank_begin;
  int32_t own_begin, own_end;  // of the ranks, those that A has here
  float scale;
};

// The chunks of a pass: of the ranks of all targets of all adapters, one after another, those from `first` on, up to kChunks.
// By a warp, which has every matrix in a lane of its own; returns how many there are from `first` on, in all lanes.
__device__ __forceinline__ int32_t FindChunks(const LoraSiteArgs& args, const LoraGroup& group, int32_t first,
                                              Chunk (&chunks)[kChunks]) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32, entries = (group.use_end - group.use_begin) * args.targets;
  int32_t before = 0;
  for (int32_t begin = 0; begin < entries; begin += 32) {
    LoraUse use;
    LoraMatrix matrix;
    if (begin + lane < entries) {
      use = args.uses[group.use_begin + (begin + lane) / args.targets];
      matrix = use.matrices[args.layer * 7 + args.first_target + (begin + lane) % args.targets];
    }
    const int32_t own = LoraColumns(matrix.rank) / kLoraChunk;
    int32_t end = own;
#pragma unroll
    for (int32_t distance = 1; distance < 32; distance *= 2) {
      const int32_t other = __shfl_up_sync(0xffffffffu, end, distance);
      if (lane >= distance) end += other;
    }
    const int32_t place = before + end - own - first;  // of the matrix's first chunk, from `first` on
    for (int32_t i = max(0, -place); i < min(own, kChunks - place); ++i) {
      chunks[place + i] = {use.pages, matrix.a_offset, matrix.rank, i * kLoraChunk, matrix.rank * args.rank_part / args.rank_parts,
                           matrix.rank * (args.rank_part + 1) / args.rank_parts, matrix.scale * use.scale};
    }
    before += __shfl_sync(0xffffffffu, end, 31);
  }
  return max(0, before - first);
}

// Computes   v = scale * A x, rounded
// Shapes     x [T, K] T; A in tiles of 128 inputs, [rank][128] T; v of a group [rows][v_cols] T, zero between ranks and
//            for ranks that A does not have here
// Grid       (blocks of a cluster, groups x pieces of 64 rows): a block has up to 64 rows, up to 64 ranks at a time and its share of the inputs;
//            the blocks of a cluster add up their sums, each for its share of the rows, in the order of the blocks
// Tensor     mma.sync m16n8k16, rows are a; warp w has the rows 16 (w % 4) .. and half of the inputs of a tile
// Shared     2 or 3 stages of 20 to 32 KiB (64 rows of x, 16 to 64 ranks of A, 128 inputs), all on their way at once; then 17
//            KiB of sums in their place
// Requires   rows of x are multiples of 8 elements and 16-byte aligned
// Bound by   bytes from L2: 2 K a row of x (again for every 64 ranks), 2 K a rank for every 64 rows
// Reference  cpu_reference.cc Gemm (LoRA part)
// Measured   H200, 2026-11-22, 2,048 rows of one adapter of rank 16, Llama-3-8B: 24 / 14 / 18 / 39 us for q k v, o, gate and up, down
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) LoraShrinkKernel(const LoraSiteArgs args) {
  extern __shared__ __align__(128) uint8_t shared_bytes[];
  __shared__ Chunk chunks[kChunks];
  __shared__ int32_t chunks_left;
  auto* sums = reinterpret_cast<float*>(shared_bytes);  // [kRows][kSumStride]
  const uint32_t stages = SharedAddress(shared_bytes);
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x), warp = tid / 32, lane = tid % 32;
  const int32_t matrix = lane / 8, line = lane % 8;
  const int32_t cluster = static_cast<int32_t>(gridDim.x), rank_in_cluster = static_cast<int32_t>(blockIdx.x);
  const int32_t tiles = (args.columns + kLoraTile - 1) / kLoraTile;
  const int32_t tile_begin = tiles * rank_in_cluster / cluster, tile_end = tiles * (rank_in_cluster + 1) / cluster;
  const int32_t groups = *args.group_count;
  const int32_t copy_row = tid / 16, copy_column = tid % 16 * 8;  // what this thread copies: every 16th row
  bool waited = false;

  for (int32_t index = static_cast<int32_t>(blockIdx.y); index < groups * args.pieces; index += static_cast<int32_t>(gridDim.y)) {
    LoraGroup group = args.groups[index / args.pieces];
    const int32_t row_begin = index % args.pieces * kRows;
    T* v = reinterpret_cast<T*>(args.v + group.v_offset) + row_begin * group.v_cols;
    group.row_begin += row_begin;
    group.row_count = min(kRows, group.row_count - row_begin);
    if (group.row_count <= 0) continue;
    for (int32_t pass = 0;; ++pass) {
      __syncthreads();  // chunks were read
      if (warp == 0) {
        const int32_t left = FindChunks(args, group, pass * kChunks, chunks);
        if (lane == 0) chunks_left = left;
      }
      __syncthreads();
      const int32_t left = chunks_left, chunk_count = min(left, kChunks);
      if (chunk_count == 0) break;
      const int32_t stage_bytes = (kRows + chunk_count * kLoraChunk) * kRowBytes, stage_count = kSharedBytes / stage_bytes;
      const auto stage_of = [&](int32_t tile) {
        return stages + static_cast<uint32_t>((tile - tile_begin) % stage_count * stage_bytes);
      };

      // Where in its pages the tile has the rank of chunk c that this thread copies. The base of the page last asked for is kept:
      // looking it up takes longer than a copy.
      uint32_t held[kChunks];
      const uint8_t* bases[kChunks];
#pragma unroll
      for (uint32_t& page : held) page = ~0u;
      const auto find_a = [&](int32_t tile, int32_t c) -> const uint8_t* {
        const Chunk& chunk = chunks[c];
        const int32_t j = chunk.rank_begin + copy_row - chunk.own_begin, own = chunk.own_end - chunk.own_begin;
        if (j < 0 || j >= own) return nullptr;
        const uint32_t place = chunk.offset + static_cast<uint32_t>((tile * kLoraTile * own + j * LoraTileWidth(args.columns, tile)) * 2);
        const uint32_t page = place / args.pool.slice_bytes;
        if (page != held[c]) {
          held[c] = page;
          bases[c] = args.pool.pages + chunk.pages[page] * args.pool.page_bytes +
                     static_cast<int64_t>(args.layer) * args.pool.slice_bytes;
        }
        return bases[c] + (place - page * args.pool.slice_bytes);
      };
#pragma unroll
      for (int32_t c = 0; c < kChunks; ++c) {  // those of the first tile all together
        if (c < chunk_count && tile_begin < tile_end) find_a(tile_begin, c);
      }
      const auto copy_a = [&](int32_t tile) {
        const bool valid = copy_column < LoraTileWidth(args.columns, tile);
#pragma unroll
        for (int32_t c = 0; c < kChunks; ++c) {
          const uint8_t* row = c < chunk_count ? find_a(tile, c) : nullptr;
          if (row == nullptr) continue;
          CopyAsync16(stage_of(tile) + (kRows + c * kLoraChunk + copy_row) * kRowBytes + (((tid % 16) ^ (copy_row % 8)) * 16),
                      valid ? row + copy_column * 2 : row, valid);
        }
      };
      const auto copy_x = [&](int32_t tile) {
        const int32_t k = tile * kLoraTile + copy_column;
        const bool valid = k < args.inputs;
        const uint32_t stage = stage_of(tile);
        for (int32_t row = copy_row; row < group.row_count; row += kThreads / 16) {
          const T* source = static_cast<const T*>(args.x) + static_cast<int64_t>(group.row_begin + row) * args.inputs;
          CopyAsync16(stage + row * kRowBytes + (((tid % 16) ^ (row % 8)) * 16), source + (valid ? k : 0), valid);
        }
      };
      for (int32_t tile = tile_begin; tile < min(tile_end, tile_begin + stage_count); ++tile) copy_a(tile);
      if (!waited) WaitForPredecessor();
      waited = true;
      for (int32_t i = 0; i < stage_count; ++i) {
        if (tile_begin + i < tile_end) copy_x(tile_begin + i);
        CommitCopies();
      }
      float d[kChunks][2][4] = {};
      for (int32_t tile = tile_begin; tile < tile_end; ++tile) {
        WaitForAllBut(stage_count - 1);
        __syncthreads();
        const uint32_t x_tile = stage_of(tile);
        const uint32_t a_tile = x_tile + kRows * kRowBytes;
#pragma unroll
        for (int32_t step = 0; step < kLoraTile / 32; ++step) {
          const int32_t k = warp / 4 * (kLoraTile / 32) + step;  // of the tile's 8 steps of 16 inputs
          uint32_t rows[4];
          LoadMatrices(rows, x_tile + (warp % 4 * 16 + matrix % 2 * 8 + line) * kRowBytes + (((2 * k + matrix / 2) ^ line) * 16));
#pragma unroll
          for (int32_t c = 0; c < kChunks; ++c) {
            if (c >= chunk_count) break;
            uint32_t ranks[4];
            LoadMatrices(ranks, a_tile + (c * kLoraChunk + matrix / 2 * 8 + line) * kRowBytes +
                                    (((2 * k + matrix % 2) ^ line) * 16));
            Mma<T>(d[c][0], rows[0], rows[1], rows[2], rows[3], ranks[0], ranks[1]);
            Mma<T>(d[c][1], rows[0], rows[1], rows[2], rows[3], ranks[2], ranks[3]);
          }
        }
        __syncthreads();  // the stage was read
        if (tile + stage_count < tile_end) {
          copy_a(tile + stage_count);
          copy_x(tile + stage_count);
        }
        CommitCopies();
      }
      WaitForCopies<0>();

      // The two halves of the inputs, then the blocks of the cluster.
#pragma unroll
      for (int32_t half = 1; half >= 0; --half) {
        if (warp / 4 == half) {
#pragma unroll
          for (int32_t c = 0; c < kChunks; ++c) {
#pragma unroll
            for (int32_t n = 0; n < 2; ++n) {
#pragma unroll
              for (int32_t side = 0; side < 2; ++side) {
                float2* place = reinterpret_cast<float2*>(
                    sums + (warp % 4 * 16 + lane / 4 + side * 8) * kSumStride + c * kLoraChunk + n * 8 + lane % 4 * 2);
                float2 sum = {d[c][n][side * 2], d[c][n][side * 2 + 1]};
                if (half == 0) sum = {sum.x + place->x, sum.y + place->y};
                *place = sum;
              }
            }
          }
        }
        __syncthreads();
      }
      ClusterArrive();
      ClusterWait();
      const int32_t cols = chunk_count * kLoraChunk;
      for (int32_t e = tid; e < kRows / cluster * cols / 2; e += kThreads) {
        const int32_t row = kRows / cluster * rank_in_cluster + e / (cols / 2), j = e % (cols / 2) * 2;
        if (row >= group.row_count) continue;
        float2 parts[kClusterMax], sum = {0, 0};  // all on their way before the first is added
#pragma unroll
        for (int32_t block = 0; block < kClusterMax; ++block) {
          parts[block] = block < cluster ? LoadInBlock(sums + row * kSumStride + j, block) : float2{0, 0};
        }
#pragma unroll
        for (int32_t block = 0; block < kClusterMax; ++block) sum = {sum.x + parts[block].x, sum.y + parts[block].y};
        const Chunk& chunk = chunks[j / kLoraChunk];
        const int32_t rank = chunk.rank_begin + j % kLoraChunk;
        const auto is_own = [&](int32_t r) { return r >= chunk.own_begin && r < chunk.own_end; };
        *reinterpret_cast<uint32_t*>(v + row * group.v_cols + pass * kRanks + j) =
            PackPair<T>(is_own(rank) ? sum.x * chunk.scale : 0.0f, is_own(rank + 1) ? sum.y * chunk.scale : 0.0f);
      }
      ClusterArrive();
      ClusterWait();  // the sums were read
      if (left <= kChunks) break;
    }
  }
  if (!waited) WaitForPredecessor();
}

constexpr int32_t kSumThreads = 256;

// Computes   v = the sum of all shards' v, each of 16 bits, and rounded again
// Grid       (groups x pieces of 64 rows): a thread has four neighbouring columns at a time
// Bound by   latency of NVLink; 2 bytes for each row and rank to each other shard
// Reference  cpu_shards.cc ExchangeRanks
// Measured   within whole steps: docs/KERNELS.md
template <typename T>
__global__ void __launch_bounds__(kSumThreads) SumRanksKernel(const LoraSiteArgs args, const Exchange exchange,
                                                              const int32_t row_words) {
  AllowSuccessor();
  const int32_t groups = *args.group_count;
  WaitForPredecessor();
  for (int32_t index = static_cast<int32_t>(blockIdx.x); index < groups * args.pieces; index += static_cast<int32_t>(gridDim.x)) {
    const LoraGroup group = args.groups[index / args.pieces];
    const int32_t row_begin = index % args.pieces * kRows, rows = min(kRows, group.row_count - row_begin);
    if (group.use_begin == group.use_end || rows <= 0) continue;
    T* v = reinterpret_cast<T*>(args.v + group.v_offset) + row_begin * group.v_cols;
    const int64_t place = static_cast<int64_t>(group.row_begin + row_begin) * row_words;
    for (int32_t at = static_cast<int32_t>(threadIdx.x) * 4; at < rows * group.v_cols; at += kSumThreads * 4) {
      auto* words = reinterpret_cast<uint2*>(v + at);
      float4 sum[1] = {UnpackFour<T>(*words)};
      SumAt<T, 1>(exchange, place, at, 0, rows * group.v_cols, sum);
      *words = PackFour<T>(sum[0]);
    }
  }
}

}  // namespace

void SumRanks(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args, const Exchange& exchange,
              int32_t row_words) {
  WithElement(element, [&](auto type) {
    launcher.Launch(SumRanksKernel<decltype(type)>, dim3(std::min(groups_max * args.pieces, 65535)), dim3(kSumThreads), 0, args,
                    exchange, row_words);
  });
}

void LoraShrink(Launcher& launcher, Element element, int32_t groups_max, const LoraSiteArgs& args) {
  const int32_t blocks = std::min(groups_max * args.pieces, 65535);
  // As many blocks as can be resident, where there are few groups; two a multiprocessor up to the usual. Of few rows always as
  // many: a recorded step has room for other groups, and its sums are to be the same.
  int32_t cluster = launcher.sm_major < 9 ? 1 : kClusterUsual;
  if (launcher.sm_major >= 9 && args.pieces > 1) {
    cluster = 1;
    const auto room = [&] { return cluster < kClusterUsual ? launcher.sm_count * 2 : launcher.sm_count; };
    while (cluster < kClusterMax && 2 * cluster * blocks <= room()) cluster *= 2;
  }
  WithElement(element, [&](auto type) {
    const auto kernel = LoraShrinkKernel<decltype(type)>;
    launcher.Note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
    launcher.LaunchClusters(cluster, kernel, dim3(cluster, blocks), dim3(kThreads), kSharedBytes, args);
  });
}

}  // namespace chorale::cuda
