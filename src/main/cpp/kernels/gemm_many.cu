#include "kernels/gemm_many.h"

#include <algorithm>

#include "kernels/cluster.cuh"
#include "kernels/gemm_many_lora.cuh"
#include "kernels/gemm_many_sinks.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kTileCols = 256;
constexpr int32_t kCluster = 2;       // blocks that share the weights, with 128 rows each
constexpr int32_t kClusterRows = kCluster * kManyTileRows;
constexpr int32_t kStages = 4;
constexpr int32_t kWarpgroups = 2;    // consumers, 64 rows each
constexpr int32_t kConsumers = kWarpgroups * 128;
constexpr int32_t kThreads = kConsumers + 128;
constexpr uint32_t kXBytes = kManyTileRows * kUnitInputs * 2;
constexpr uint32_t kHalfBytes = kTileCols / kCluster * kUnitInputs * 2;  // of the weights, what a block fetches for both
constexpr uint32_t kStageBytes = kXBytes + kCluster * kHalfBytes;
[[maybe_unused]] constexpr int32_t kSkew = 2;          // units that the second warpgroup is behind: while one stores its tile, the other multiplies
constexpr int32_t kRowPairsTogether = 8;  // tiles of so many clusters of rows are computed side by side, then the next columns

struct TileShape {
  int32_t rows, cols, inputs;
  int32_t row_pairs, col_tiles;
};

// Tile `index` of all: its rows (of both blocks) and its columns. Those that are computed at the same time are as square as
// can be, so that each row of x and of W is read from memory once or twice, and from L2 by the others.
struct TilePlace {
  int32_t row_pair, col_tile;
  __device__ __forceinline__ TilePlace(const TileShape& shape, int32_t index) {
    const int32_t band_tiles = kRowPairsTogether * shape.col_tiles, band = index / band_tiles, rest = index % band_tiles;
    const int32_t pairs = min(kRowPairsTogether, shape.row_pairs - band * kRowPairsTogether);
    row_pair = band * kRowPairsTogether + rest % pairs;
    col_tile = rest / pairs;
  }
};

// Computes   sink(x W^T + B v): W [N, K] and x [M, K] of T, sums in float32, what becomes of them in gemm_many_sinks.cuh
// Shapes     N and K anything (what is outside a matrix reads as zero)
// Grid       clusters of two blocks, one block a multiprocessor; a cluster takes a tile of 256 rows and 256 columns at a time,
//            a block 128 of the rows. Of a third warpgroup one thread copies, and with kLora another warp what B v needs.
// Tensor     wgmma m64n256k16, x is a, the weights are b, both from shared memory (128-byte swizzle); B v m64n128k16, v from
//            registers
// Shared     4 stages of 48 KiB: 128 rows of x, 256 weight rows of which each block of the cluster fetches half for both; 24
//            KiB for B v
// Requires   sm_90a; bases 16-byte aligned, row strides multiples of 16 bytes
// Bound by   FLOPs: 2 M N K; in the end by power
// Reference  cpu_reference.cc Gemm, SwiGlu, QkvPost
// Measured   H200, 2026-11-22, 2,048 rows, 16-bit output, TFLOP/s: 6144 x 4096 780, 4096 x 14336 798; 28672 x 4096 with SwiGLU 690
//            to 780 (cuBLASLt in turn, without: 785, 810, 720 to 770)
template <typename T, typename Sink, bool kLora>
__global__ void __launch_bounds__(kThreads, 1)
GemmManyKernel(const __grid_constant__ CUtensorMap weight, const __grid_constant__ CUtensorMap x, const TileShape shape,
               const Sink sink, const LoraSiteArgs lora) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ uint8_t shared_bytes[];
  __shared__ uint64_t full[kStages], empty[kStages];
  __shared__ ManyLoraRing ring;
  const uint32_t stages = (SharedAddress(shared_bytes) + 1023) / 1024 * 1024, slots = stages + kStages * kStageBytes;
  const int32_t tid = static_cast<int32_t>(threadIdx.x), warp = tid / 32, lane = tid % 32;
  AllowSuccessor();
  if (tid == 0) {
    for (int32_t i = 0; i < kStages; ++i) {
      BarrierInit(&full[i], 1);
      BarrierInit(&empty[i], kCluster * kConsumers / 32);
    }
    ring.Init(kConsumers);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  ClusterArrive();
  ClusterWait();
  const int32_t member = static_cast<int32_t>(blockIdx.x) % kCluster;
  const int32_t first = static_cast<int32_t>(blockIdx.x) / kCluster, step = static_cast<int32_t>(gridDim.x) / kCluster;
  const int32_t tiles = shape.row_pairs * shape.col_tiles, units = (shape.inputs + kUnitInputs - 1) / kUnitInputs;
  const auto row_of = [&](const TilePlace& place) { return place.row_pair * kClusterRows + member * kManyTileRows; };

  if (warp >= kConsumers / 32) {
    RegistersDown<72>();  // of 168 at launch
    if (warp == kConsumers / 32 && lane == 0) {
      uint64_t policy;
      asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
      const auto copy_weight = [&](const TilePlace& place, int32_t unit, int32_t slot) {
        BarrierArriveExpecting(&full[slot], kStageBytes);
        CopyBoxToBoth(stages + static_cast<uint32_t>(slot) * kStageBytes + kXBytes + static_cast<uint32_t>(member) * kHalfBytes,
                      &weight, unit * kUnitInputs, sink.WeightRow(place.col_tile, member), &full[slot]);
      };
      const auto copy_x = [&](const TilePlace& place, int32_t unit, int32_t slot) {
        CopyBox(stages + static_cast<uint32_t>(slot) * kStageBytes, &x, unit * kUnitInputs, row_of(place), &full[slot], policy);
      };
      const int32_t ahead = first < tiles ? min(units, kStages) : 0;
      const TilePlace begin(shape, min(first, tiles - 1));
      for (int32_t i = 0; i < ahead; ++i) copy_weight(begin, i, i);
      WaitForPredecessor();
      asm volatile("fence.proxy.async.global;" ::: "memory");  // x was written by ordinary stores
      for (int32_t i = 0; i < ahead; ++i) copy_x(begin, i, i);
      int32_t unit = ahead, slot = ahead % kStages;
      uint32_t round = static_cast<uint32_t>(ahead / kStages);
      for (int32_t tile = first; tile < tiles; tile += step, unit = 0) {
        const TilePlace place(shape, tile);
        for (; unit < units; ++unit) {
          if (round > 0) BarrierWait(&empty[slot], (round - 1) % 2);
          copy_weight(place, unit, slot);
          copy_x(place, unit, slot);
          if (++slot == kStages) slot = 0, ++round;
        }
      }
    } else if (kLora && warp == kConsumers / 32 + 1) {
      WaitForPredecessor();
      ManyLoraWriter<T> writer(lora, ring, slots);
      for (int32_t tile = first; tile < tiles; tile += step) {
        const TilePlace place(shape, tile);
        writer.WriteTile(row_of(place), min(row_of(place) + kManyTileRows, shape.rows), sink.WeightRow(place.col_tile, 0),
                         sink.WeightRow(place.col_tile, 1), shape.cols);
      }
    }
    __syncwarp();
  } else {
    RegistersUp<216>();
    WaitForPredecessor();
    ManyLoraReader<T> reader(ring, slots);
    const int32_t own_rows = warp / 4 * 64;  // of the warpgroup, in the tile
    float d[2][64];
    int32_t slot = 0, slot_before = 0;
    uint32_t parity = 0;
    const auto release = [&](int32_t stage) {  // for both blocks: each fetches half of the weights for the other
      if (lane < kCluster) BarrierArriveAt(&empty[stage], lane);
    };
    if (warp >= 4) asm volatile("bar.sync 1, 256;" ::: "memory");
    for (int32_t tile = first; tile < tiles; tile += step) {
      for (int32_t unit = 0; unit < units; ++unit) {
        if (warp < 4 && tile == first && unit == min(kSkew, units - 1)) asm volatile("bar.arrive 1, 256;" ::: "memory");
        BarrierWait(&full[slot], parity);
        const uint32_t stage = stages + static_cast<uint32_t>(slot) * kStageBytes;
        const uint64_t a = WgmmaDescriptor(stage + static_cast<uint32_t>(own_rows) * 128), b = WgmmaDescriptor(stage + kXBytes);
        WgmmaFence();
#pragma unroll
        for (int32_t i = 0; i < kUnitInputs / 16; ++i) Wgmma<T, kTileCols>::Run(d, a + 2 * i, b + 2 * i, unit > 0 || i > 0);
        WgmmaCommit();
        WgmmaWait<1>();  // the unit before this one has been read
        if (unit > 0) release(slot_before);
        slot_before = slot;
        if (++slot == kStages) slot = 0, parity ^= 1;
      }
      WgmmaWait<0>();
      release(slot_before);
      const TilePlace place(shape, tile);
      if constexpr (kLora) reader.AddTile(own_rows + warp % 4 * 16, d);
      sink.Store(d, place.col_tile, row_of(place) + own_rows + warp % 4 * 16 + lane / 4);
    }
  }
  ClusterArrive();
  ClusterWait();  // the other block may still write here
#endif
}

template <typename T, bool kLora, typename Sink>
void LaunchMany(Launcher& launcher, const GemmManyArgs& args, const Sink& sink, int32_t col_tiles) {
  const auto kernel = GemmManyKernel<T, Sink, kLora>;
  const int32_t shared = kStages * kStageBytes + (kLora ? ManyLoraRing::kSlots * ManyLoraRing::kSlotBytes : 0) + 1024;  // to align
  const TileShape shape{args.rows, args.cols, args.inputs, (args.rows + kClusterRows - 1) / kClusterRows, col_tiles};
  const int32_t clusters = std::min(launcher.sm_count / kCluster, shape.row_pairs * shape.col_tiles);
  launcher.Note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  launcher.LaunchClusters(kCluster, kernel, dim3(clusters * kCluster), dim3(kThreads), shared, args.weight, args.x, shape, sink,
                          args.lora);
}

template <typename T, typename Sink>
void LaunchMany(Launcher& launcher, const GemmManyArgs& args, const Sink& sink, int32_t col_tiles) {
  if (launcher.sm_major != 9) {
    launcher.Note(cudaErrorInvalidValue);
  } else if (args.lora.groups != nullptr) {
    LaunchMany<T, true>(launcher, args, sink, col_tiles);
  } else {
    LaunchMany<T, false>(launcher, args, sink, col_tiles);
  }
}

int32_t Tiles(int32_t cols) { return (cols + kTileCols - 1) / kTileCols; }

}  // namespace

double GemmManyFill(int32_t rows, int32_t cols, int32_t sm_count) {
  const int32_t pairs = (rows + kClusterRows - 1) / kClusterRows, tiles = pairs * Tiles(cols), clusters = sm_count / kCluster;
  const int32_t waves = (tiles + clusters - 1) / clusters;
  return static_cast<double>(rows) * cols / (static_cast<double>(waves) * clusters * kClusterRows * kTileCols);
}

void GemmMany(Launcher& launcher, Element element, const GemmManyArgs& args, const Product& y) {
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    if (y.half) {
      LaunchMany<T>(launcher, args, ProductSink<T>{y, args.rows}, Tiles(args.cols));
    } else {
      LaunchMany<T>(launcher, args, ProductSink<float>{y, args.rows}, Tiles(args.cols));
    }
  });
}

void GemmManySwiGlu(Launcher& launcher, Element element, const GemmManyArgs& args, const SwiGluArgs& swiglu) {
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    const SwiGluSink<T> sink{static_cast<T*>(swiglu.out), swiglu.out_stride, swiglu.intermediate, args.rows, swiglu.bias};
    LaunchMany<T>(launcher, args, sink, (swiglu.intermediate + kTileCols / 2 - 1) / (kTileCols / 2));
  });
}

void GemmManyQkv(Launcher& launcher, Element element, const GemmManyArgs& args, const QkvPostArgs& post) {
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    LaunchMany<T>(launcher, args, QkvSink<T>{post, args.rows}, Tiles(args.cols));
  });
}

}  // namespace chorale::cuda
