// How kernels are launched, and the words that all of them share. Raw device pointers only: nothing of the engine.
//
// Overlap of kernels. Every kernel of this folder begins with AllowSuccessor() and calls WaitForPredecessor() before it
// reads what an earlier kernel of the stream has written, and before it writes anything. Between the two it may read
// only what no kernel of a step writes: weights, tables that were uploaded before the step. With Launcher::overlap the
// launches then form a chain in which the next kernel is resident, its weights already on their way, when the one
// before it ends (programmatic dependent launch, sm_90). Without it the same code runs strictly one after another.
//
// A step whose products compute LoRA begins with two kernels that first wait and then allow, so that others may read LoRA's tables as
// early: LoraPlan, which makes them, waits at once, so that beside it all that was before has ended; Embed works beside it
// and waits when it has done so. What is allowed then begins after the tables are there.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace chorale::cuda {

enum class Element : int32_t { kBf16 = 0, kF16 = 1 };  // of weights, activations and the KV cache

// Where launches go. The first failure of a launch stays in `error`; later launches are still tried, as a failed
// launch has no effect, and the caller looks once a step.
struct Launcher {
  cudaStream_t stream = nullptr;
  int32_t sm_count = 0;
  int32_t sm_major = 0;
  bool overlap = false;
  cudaError_t error = cudaSuccess;

  void Note(cudaError_t result) {
    if (error == cudaSuccess) error = result;
  }

  template <typename... P, typename... A>
  void Launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, A&&... arguments) {
    LaunchClusters(1, kernel, grid, block, shared_bytes, std::forward<A>(arguments)...);
  }

  // `cluster` neighbours in x share their shared memory (sm_90).
  template <typename... P, typename... A>
  void LaunchClusters(int32_t cluster, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, A&&... arguments) {
    // All kernels ask for the same split between L1 and shared memory: with different ones a small kernel could not be
    // resident beside the product before or after it.
    cudaLaunchAttribute attributes[3]{};
    attributes[0].id = cudaLaunchAttributePreferredSharedMemoryCarveout;
    attributes[0].val.sharedMemCarveout = cudaSharedmemCarveoutMaxShared;
    unsigned count = 1;
    if (overlap && sm_major >= 9) {
      attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attributes[count++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (cluster > 1) {
      attributes[count].id = cudaLaunchAttributeClusterDimension;
      attributes[count].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
      ++count;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = count;
    Note(cudaLaunchKernelEx(&config, kernel, std::forward<A>(arguments)...));
  }
};

// The product of a linear, in float32: the columns come in tiles of kProductTile, and each tile as one or more partial
// sums, which the reader adds in the order of their index. A GEMM that splits its work so that every multiprocessor has
// the same number of units (kProductTile weight rows x 64 inputs) thus needs no reduction of its own. Unit u of the
// work belongs to block u / units_per_block and to tile u / units_per_tile; partial i of a tile is that of the i-th
// block with a unit of the tile. Blocks may move the units between them within a tile, as long as each keeps one.
//
// A product of many rows, by a library, is one partial and may be of 16 bits: there the traffic of float32 would cost
// more than its rounding is worth.
struct Product {
  void* data = nullptr;        // [partials][rows_max][cols]
  int64_t partial_stride = 0;  // elements from one partial to the next: rows_max * cols
  int32_t cols = 0;
  uint32_t units_per_tile = 1;
  uint32_t units_per_block = 1;
  bool half = false;           // elements of 16 bits

  __host__ __device__ float* floats() const { return static_cast<float*>(data); }
};

// How a product is cut for so many blocks (PlanProduct, gemm.h).
struct ProductPlan {
  int32_t blocks = 0;
  int32_t units = 0;
  uint32_t units_per_tile = 0;
  uint32_t units_per_block = 0;
  int32_t partials_max = 0;  // of any tile

  bool operator==(const ProductPlan&) const = default;
};

inline constexpr int32_t kProductTile = 128;
inline constexpr int32_t kUnitInputs = 64;
inline constexpr int32_t kProductPartialsMax = 6;

// The KV cache of one layer within the page pool; see kv_layout.cuh for what lies where in a slice.
struct KvPages {
  uint8_t* slices = nullptr;  // the layer's slice of page 0
  int64_t page_bytes = 0;
  int32_t page_tokens = 0;  // 16, 32 or 64
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
};

}  // namespace chorale::cuda
