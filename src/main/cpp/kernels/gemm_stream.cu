#include <algorithm>

#include "kernels/bulk_copy.cuh"
#include "kernels/gemm.h"
#include "kernels/lora_beside.cuh"
#include "kernels/stream_shared.cuh"
#include "kernels/wgmma.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarpgroups = 2;  // consumers, 64 weight rows each
constexpr int32_t kProducer = kWarpgroups * 128;  // the first thread of the warp that copies
constexpr int32_t kThreads = kProducer + 32;
static_assert(kLoraWarps == 3);  // with the producer they are a warpgroup
__host__ __device__ constexpr int32_t ThreadCount(bool lora) { return kThreads + (lora ? kLoraWarps * 32 : 0); }

// Registers of a thread with LoRA at launch. A block has few, so that the small kernels before and after it can be resident
// beside it: up to 32 rows a block of the norm, which has 1,024 threads.
__host__ __device__ constexpr int32_t LaunchRegisters(int32_t rows) { return rows > 64 ? 120 : rows > 32 ? 104 : 80; }

// Computes   y = x W^T, W [N, K] and x [M, K] of T, y a Product in float32
// Shapes     M <= kRows; N and K anything (what is outside a matrix reads as zero)
// Grid       block b computes the units [b * units_per_block, ...): kProductTile weight rows x 64 inputs each, tile after
//            tile. One thread of the last warp copies, two warpgroups multiply, 64 weight rows each. The first inputs are
//            copied by a thread of theirs: what copies weights may be waiting for some.
// Tensor     wgmma m64nRk16: the weights are a, x is b, both straight from shared memory (128-byte swizzle)
// Shared     stages of 16 KiB of weights and 128 kRows bytes of x, 220 KiB in all: one block a multiprocessor. The stages
//            are filled with weights BEFORE the kernel waits for its predecessor, one as another has landed, and the rest
//            as soon as the inputs are there: while small kernels run, memory keeps streaming. With kLora some stages are
//            LoRA's rings instead (stream_shared.cuh).
// LoRA       with kLora a few more warps compute the LoRA part of the same linears from the same x into y.lora
//            (lora_beside.cuh): adapters cost the bytes they have and no launch
// Requires   sm_90a; bases 16-byte aligned, row strides multiples of 16 bytes
// Bound by   bytes: 2 N K; weights are marked to leave L2 first, so that activations and partial sums stay there
// Reference  cpu_reference.cc Gemm
// Measured   H100, 2026-11-22, bf16, cold weights, percent of read bandwidth at M = 1 / 32 / 128: 6144 x 4096 95 / 87 / 75,
//            4096 x 4096 96 / 86 / 68, 28672 x 4096 96 / 90 / 82, 4096 x 14336 96 / 92 / 86 (docs/KERNELS.md)
template <typename T, int32_t kRows, bool kLora>
__global__ void __maxnreg__(kLora ? LaunchRegisters(kRows) : 168)
GemmStreamKernel(const __grid_constant__ CUtensorMap weight, const __grid_constant__ CUtensorMap x, const Product y,
                 const int32_t rows, const int32_t units, const LoraSiteArgs lora, const int32_t lora_stages) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int32_t kStagesMax = kLora ? LoraStagesMost(kRows) : StagesMax(kRows);
  // With LoRA the consumers keep what they need, and the others, which are half as many, have the rest.
  constexpr int32_t kConsumerRegisters = kRows > 64 ? 112 : kRows > 32 ? 72 : kRows > 16 ? 48 : 40;
  constexpr int32_t kLoraRegisters = LaunchRegisters(kRows) + kWarpgroups * (LaunchRegisters(kRows) - kConsumerRegisters);
  constexpr int32_t kStage = StageBytes(kRows);
  // Stages of weights that are on their way at once while the inputs are still to come: as many as the memory's latency
  // needs. With more, what the small kernels before load waits behind them.
  constexpr int32_t kPace = 2;
  extern __shared__ uint8_t shared_bytes[];
  __shared__ uint64_t full[kStagesMax], empty[kStagesMax], landed[kStagesMax];  // landed: weights of the first round
  __shared__ uint64_t inputs_there;
  const uint32_t stages = (SharedAddress(shared_bytes) + 1023) / 1024 * 1024;
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  AllowSuccessor();
  if (tid == 0) {
    BarrierInit(&inputs_there, 1);
    for (int32_t i = 0; i < kStagesMax; ++i) {
      BarrierInit(&full[i], 1);
      BarrierInit(&empty[i], kWarpgroups * 4);
      BarrierInit(&landed[i], 1);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const int32_t first = static_cast<int32_t>(blockIdx.x * y.units_per_block);
  const int32_t count = min(static_cast<int32_t>(y.units_per_block), units - first);
  const auto choose_stages = [&] {
    if constexpr (!kLora) return StreamStages{kStagesMax, kStagesMax};
    return LoraStages(kRows, lora_stages, units, static_cast<int32_t>(y.units_per_block), lora);
  };
  const auto unit_col = [&](int32_t i) {
    return static_cast<int32_t>(static_cast<uint32_t>(first + i) % y.units_per_tile) * kUnitInputs;
  };
  const auto copy_x = [&](int32_t i, int32_t slot) {
    uint64_t keep;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(keep));
    CopyBox(stages + static_cast<uint32_t>(slot) * kStage + kStageWeightBytes, &x, unit_col(i), 0, &full[slot], keep);
  };
  const auto wait_for_inputs = [] {
    WaitForPredecessor();
    asm volatile("fence.proxy.async.global;" ::: "memory");  // x was written by ordinary stores
  };

  // Three warps of the producer's warpgroup are free. With LoRA it has registers that the consumers do not need.
  if (tid >= kProducer) {
    if constexpr (kLora) {
      RegistersUp<kLoraRegisters>();
      if (tid >= kThreads) {
        const int32_t warp = (tid - kThreads) / 32, blocks = static_cast<int32_t>(gridDim.x);
        const int32_t stage_count = choose_stages().count, ring_bytes = LoraRingBytes(kRows, stage_count);
        const uint32_t states = stage_count * kStage, rings = states + kLoraWarps * kLoraStateBytes;
        auto* own = shared_bytes + (stages - SharedAddress(shared_bytes)) + states + warp * kLoraStateBytes;
        LoraBeside<T>(lora, y, stages + rings + warp * ring_bytes, ring_bytes, *reinterpret_cast<LoraWarpState*>(own),
                      warp * blocks + static_cast<int32_t>(blockIdx.x), kLoraWarps * blocks);
        return;
      }
    }
    if (tid != kProducer) return;
    uint64_t read_once;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(read_once));
    const auto copy_weight = [&](int32_t i, int32_t slot, uint64_t* barrier) {
      const int32_t row = static_cast<int32_t>(static_cast<uint32_t>(first + i) / y.units_per_tile) * kProductTile;
      CopyBox(stages + static_cast<uint32_t>(slot) * kStage, &weight, unit_col(i), row, barrier, read_once);
    };
    const auto copy_first = [&](int32_t i) {
      BarrierArriveExpecting(&landed[i], kStageWeightBytes);
      copy_weight(i, i, &landed[i]);
    };
    const int32_t at_once = min(count, kPace);
    for (int32_t i = 0; i < at_once; ++i) copy_first(i);
    const auto [stage_count, in_flight] = choose_stages();
    const int32_t ahead = min(count, stage_count);
    for (int32_t i = at_once; i < ahead; ++i) {
      while (!BarrierPassed(&landed[i - kPace], 0)) {
        if (BarrierPassed(&inputs_there, 0) && (i < in_flight || BarrierPassed(&landed[i - in_flight], 0))) break;
      }
      copy_first(i);
    }
    wait_for_inputs();
    uint32_t parity = 0;
    for (int32_t i = ahead, slot = 0; i < count; ++i) {
      BarrierWait(&empty[slot], parity);
      if (kLora && in_flight < stage_count) {  // until what lies as far back has come
        const int32_t before = i - in_flight;
        if (before < ahead) {
          BarrierWait(&landed[before], 0);
        } else {
          BarrierWait(&full[slot < in_flight ? slot - in_flight + stage_count : slot - in_flight], slot < in_flight ? parity : parity ^ 1);
        }
      }
      BarrierArriveExpecting(&full[slot], kStage);
      copy_weight(i, slot, &full[slot]);
      copy_x(i, slot);
      if (++slot == stage_count) slot = 0, parity ^= 1;
    }
    return;
  }
  if constexpr (kLora) RegistersDown<kConsumerRegisters>();
  const int32_t stage_count = choose_stages().count, ahead = min(count, stage_count);
  if (tid == 0) {
    wait_for_inputs();
    for (int32_t i = 0; i < ahead; ++i) {
      BarrierArriveExpecting(&full[i], kStage - kStageWeightBytes);
      copy_x(i, i);
    }
    BarrierArrive(&inputs_there);
  }
  __syncwarp();

  const int32_t warpgroup = tid / 128, lane = tid % 32;
  const auto release = [&](int32_t stage) {
    if (lane == 0) BarrierArrive(&empty[stage]);
  };
  float d[kRows / 2];
  int32_t i = 0, slot = 0, slot_before = 0;
  uint32_t parity = 0;
  while (i < count) {
    const uint32_t tile = static_cast<uint32_t>(first + i) / y.units_per_tile;
    const int32_t tile_end = min(count, static_cast<int32_t>((tile + 1) * y.units_per_tile) - first);
    for (int32_t begin = i; i < tile_end; ++i) {
      if (i < ahead) BarrierWait(&landed[slot], 0);
      BarrierWait(&full[slot], parity);
      const uint32_t stage = stages + static_cast<uint32_t>(slot) * kStage;
      const uint64_t a = WgmmaDescriptor(stage + static_cast<uint32_t>(warpgroup) * 64 * 128);
      const uint64_t b = WgmmaDescriptor(stage + kStageWeightBytes);
      WgmmaFence();
#pragma unroll
      for (int32_t step = 0; step < kUnitInputs / 16; ++step) {
        Wgmma<T, kRows>::Run(d, a + 2 * step, b + 2 * step, i > begin || step > 0);
      }
      WgmmaCommit();
      WgmmaWait<1>();  // the unit before this one has been read
      if (i > begin) release(slot_before);
      slot_before = slot;
      if (++slot == stage_count) slot = 0, parity ^= 1;
    }
    WgmmaWait<0>();
    release(slot_before);

    const int32_t partial = static_cast<int32_t>(blockIdx.x - tile * y.units_per_tile / y.units_per_block);
    float* target = y.floats() + partial * y.partial_stride;
    const int32_t col = static_cast<int32_t>(tile) * kProductTile + tid / 32 * 16 + lane / 4;
#pragma unroll
    for (int32_t j = 0; j < kRows / 8; ++j) {
#pragma unroll
      for (int32_t side = 0; side < 2; ++side) {
        const int32_t row = j * 8 + lane % 4 * 2 + side;
        if (row >= rows) continue;
        float* line = target + static_cast<int64_t>(row) * y.cols + col;
        if (col < y.cols) line[0] = d[j * 4 + side];
        if (col + 8 < y.cols) line[8] = d[j * 4 + 2 + side];
      }
    }
  }
#endif
}

using EncodeFunction = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                    const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                                    CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

EncodeFunction FindEncode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) !=
          cudaSuccess ||
      found != cudaDriverEntryPointSuccess) {
    return nullptr;
  }
  return reinterpret_cast<EncodeFunction>(function);
}

template <typename T, int32_t kRows, bool kLora>
void LaunchStream(Launcher& launcher, const ProductPlan& plan, const GemmStreamArgs& args) {
  const auto kernel = GemmStreamKernel<T, kRows, kLora>;
  constexpr int32_t kShared = (kLora ? kStreamBytes : StagesMax(kRows) * StageBytes(kRows)) + 1024;  // to align
  launcher.Note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  launcher.Launch(kernel, dim3(plan.blocks), dim3(ThreadCount(kLora)), kShared, args.weight, args.x, args.y, args.rows,
                  plan.units, args.lora, args.lora_stages);
}

template <typename T, int32_t kRows>
void LaunchStream(Launcher& launcher, const ProductPlan& plan, const GemmStreamArgs& args) {
  if (args.y.lora != nullptr) {
    LaunchStream<T, kRows, true>(launcher, plan, args);
  } else {
    LaunchStream<T, kRows, false>(launcher, plan, args);
  }
}

}  // namespace

int32_t StreamBox(int32_t rows) { return rows <= 16 ? 16 : rows <= 32 ? 32 : rows <= 64 ? 64 : 128; }

bool EncodeStreamMap(Element element, const void* matrix, int64_t rows, int64_t cols, int64_t stride, int32_t box_rows,
                     CUtensorMap* map) {
  static const EncodeFunction encode = FindEncode();
  if (encode == nullptr) return false;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(stride) * 2};
  const cuuint32_t box[2] = {kUnitInputs, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  return encode(map, element == Element::kBf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2,
                const_cast<void*>(matrix), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

void GemmStream(Launcher& launcher, Element element, const ProductPlan& plan, const GemmStreamArgs& args) {
  if (launcher.sm_major != 9 || args.rows > kStreamRowsMax) {
    launcher.Note(cudaErrorInvalidValue);
    return;
  }
  WithElement(element, [&](auto type) {
    using T = decltype(type);
    switch (StreamBox(args.rows)) {
      case 16: LaunchStream<T, 16>(launcher, plan, args); break;
      case 32: LaunchStream<T, 32>(launcher, plan, args); break;
      case 64: LaunchStream<T, 64>(launcher, plan, args); break;
      default: LaunchStream<T, 128>(launcher, plan, args); break;
    }
  });
}

}  // namespace chorale::cuda
