#include <algorithm>

#include "kernels/attention.h"
#include "kernels/bulk_copy.cuh"
#include "kernels/gemm.h"
#include "kernels/stream_lora.cuh"
#include "kernels/wgmma.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kWarpgroups = 2;  // consumers, 64 weight rows each
constexpr int32_t kConsumerWarps = kWarpgroups * 4;
constexpr int32_t kProducer = kConsumerWarps * 32;  // the first thread of the warp that copies weights
constexpr int32_t kThreads = kProducer + 32;
__host__ __device__ constexpr int32_t ThreadCount(bool lora) { return kThreads + (lora ? kLoraWarps * 32 : 0); }
// Registers of a thread with LoRA. Up to 64 rows a block of the norm, which has 1,024 threads of 32 registers, is to be resident beside it.
__host__ __device__ constexpr int32_t LoraRegisters(int32_t rows) { return rows > 64 ? 128 : 80; }

constexpr int32_t kStreamBytes = 220 * 1024;  // as many stages as leave room for small kernels
constexpr int32_t kStageWeightBytes = kProductTile * kUnitInputs * 2;
__host__ __device__ constexpr int32_t StageBytes(int32_t rows) { return kStageWeightBytes + rows * kUnitInputs * 2; }
__host__ __device__ constexpr int32_t StagesMax(int32_t rows) { return kStreamBytes / StageBytes(rows); }

// Shared memory of a block.
template <int32_t kRows>
struct StreamShared {
  static constexpr int32_t kStages = StagesMax(kRows);

  uint8_t stages[kStages][StageBytes(kRows)];  // first, as they have to lie at a multiple of 1,024
  alignas(128) uint32_t zeros[32];
  uint64_t full[kStages], empty[kStages], landed[kStages];  // landed: weights of the first round
  uint64_t inputs_there;
  int32_t released[kConsumerWarps];  // with LoRA, of each warp: units it has read
  LoraDivision division;
};

// Calls f(tile, begin, end) for what a block has of each tile, from its unit `first` on: units of the tile.
template <typename F>
__device__ __forceinline__ void ForTiles(int32_t first, int32_t count, int32_t per_tile, F&& f) {
#pragma unroll 1
  for (int32_t i = first; i < first + count;) {
    const int32_t tile = Quotient(i, per_tile);
    const int32_t end = min(first + count, (tile + 1) * per_tile);
    f(tile, i - tile * per_tile, end - tile * per_tile);
    i = end;
  }
}

// Computes   y = x W^T, W [N, K] and x [M, K] of T, y a Product in float32; with kLora y = x W^T + (B A x of each row's adapters)
// Shapes     M <= kRows; N and K anything (what is outside a matrix reads as zero), with kLora multiples of 128
// Grid       block b computes the units [b * units_per_block, ...): kProductTile weight rows x 64 inputs each, tile after
//            tile, with kLora perhaps from its second one on and with boundaries moved within tiles. One thread of the
//            producer's warp copies, two warpgroups multiply, 64 weight rows each. The first inputs are copied by threads of
//            theirs: what copies weights may be waiting for some.
// Tensor     wgmma m64nRk16: the weights are a, x is b, both straight from shared memory (128-byte swizzle)
// Shared     stages of 16 KiB of weights and 128 kRows bytes of x, 220 KiB in all: one block a multiprocessor. The stages
//            are filled with weights BEFORE the kernel waits for its predecessor, two as others have landed, and the rest
//            as soon as the inputs are there: while small kernels run, memory keeps streaming.
// LoRA       with kLora units of A come before and units of B among those of W (stream_lora.cuh), copied by three warps
//            more: adapters cost the bytes they have and no launch. With kPatches, too, v may come in patches, whose units a warp each
//            multiplies by mma.sync
// Requires   sm_90a; bases 16-byte aligned, row strides multiples of 16 bytes
// Bound by   bytes: 2 N K; weights are marked to leave L2 first, so that activations and partial sums stay there
// Reference  cpu_reference.cc Gemm
// Measured   H100, 2026-11-22, bf16, cold weights, percent of read bandwidth at M = 1 / 32 / 128: 6144 x 4096 95 / 87 / 75,
//            4096 x 4096 96 / 86 / 68, 28672 x 4096 96 / 90 / 82, 4096 x 14336 96 / 92 / 86 (docs/KERNELS.md)
template <typename T, int32_t kRows, bool kLora, bool kPatches>
__global__ void __maxnreg__(kLora ? LoraRegisters(kRows) : 168)
GemmStreamKernel(const __grid_constant__ CUtensorMap weight, const __grid_constant__ CUtensorMap x, const Product y,
                 const int32_t rows, const int32_t units, const __grid_constant__ StreamLora lora) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int32_t kStages = StreamShared<kRows>::kStages;
  constexpr int32_t kStage = StageBytes(kRows);
  // Stages of weights that are on their way at once while the inputs are still to come: as many as the memory's latency
  // needs. With more, what the small kernels before load waits behind them.
  constexpr int32_t kPace = 2;
  static_assert(kPace >= 2);  // a pair
  extern __shared__ __align__(1024) uint8_t shared_bytes[];
  auto& [stage_bytes, zeros, full, empty, landed, inputs_there, released, division] = *reinterpret_cast<StreamShared<kRows>*>(shared_bytes);
  const uint32_t stages = SharedAddress(stage_bytes);
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  AllowSuccessor();
  if (tid == 0) {
    if (stages % 1024 != 0) __trap();
    BarrierInit(&inputs_there, 1);
#pragma unroll 1
    for (int32_t i = 0; i < kStages; ++i) {
      BarrierInit(&full[i], 1);
      BarrierInit(&empty[i], kConsumerWarps);
      BarrierInit(&landed[i], 1);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  if constexpr (kLora) {
    // Before LoRA's tables are there: to L2, what the block has without LoRA. With more rows the norm loses more by it.
    if (kRows <= 16 && tid == 32) {
      const auto unit = static_cast<int32_t>(blockIdx.x * y.units_per_block), per_tile = static_cast<int32_t>(y.units_per_tile);
#pragma unroll 1
      for (int32_t i = unit; i < unit + kPace; ++i) {
        const int32_t tile = Quotient(i, per_tile);
        PrefetchBox(&weight, (i - tile * per_tile) * kUnitInputs, tile * kProductTile);
      }
    }
    if (tid < kConsumerWarps) released[tid] = 0;
    if (tid < 32) zeros[tid] = 0;
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the tensor cores read zeros
    if (tid >= kProducer && tid < kThreads) LoadDivision(lora.site, &division);
  }
  __syncthreads();
  const int32_t first = static_cast<int32_t>(blockIdx.x * y.units_per_block);
  const int32_t count = min(static_cast<int32_t>(y.units_per_block), units - first);
  const int32_t per_tile = static_cast<int32_t>(y.units_per_tile);
  const auto keep_in_l2 = [] {
    uint64_t keep;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(keep));
    return keep;
  };
  const auto copy_x = [&](int32_t part, int32_t slot) {
    CopyBox(stages + static_cast<uint32_t>(slot) * kStage + kStageWeightBytes, &x, part * kUnitInputs, 0, &full[slot], keep_in_l2());
  };
  // The block's units go in one sequence: those of A, then of each tile those of W and those of B. A unit has the stage of its
  // number, round after round. Those ahead of the inputs come in two parts, first what is no input.
  const auto for_parts = [&](auto&& f) {
    if constexpr (kLora) {
#pragma unroll 1
      for (int32_t i = 0; i < division.part_count; ++i) f(division.parts[i]);
    } else {
      ForTiles(first, count, per_tile, [&](int32_t tile, int32_t begin, int32_t end) { f(LoraPart{tile, begin, end, {}, {}}); });
    }
  };
  const int32_t of_a = kLora ? division.of_a.end - division.of_a.begin : 0;
  const auto in_patches = [&] { return kPatches && division.splits > 0; };
  const int32_t ahead = min(kLora ? division.ahead : count, kStages);
  // Waits until the unit has a stage. With LoRA several warps copy, none of which follows every phase of a barrier, so that the warps that
  // read count instead; who waits is a whole warp. A count needs no order: it is written when the reads of wgmma have ended, and whoever
  // has seen it asks for a copy afterwards.
  const auto has_read = [&](int32_t sequence) {
    return __all_sync(0xffffffffu, LoadRelaxedShared(&released[tid % kConsumerWarps]) > sequence);
  };
  const auto await_stage = [&](int32_t sequence) {
    if (sequence < kStages) return;
    if constexpr (kLora) {
      while (!has_read(sequence - kStages)) __nanosleep(20);
    } else {
      BarrierWait(&empty[sequence % kStages], (sequence / kStages - 1) & 1);
    }
  };
  // Waits until the weights of a unit are there. When it has been read, its barrier may be in another phase.
  const auto await_landed = [&](int32_t sequence) {
    uint64_t* barrier = sequence < ahead ? &landed[sequence % kStages] : &full[sequence % kStages];
    const uint32_t parity = sequence < ahead ? 0 : sequence / kStages & 1;
    while (!__any_sync(0xffffffffu, BarrierPassed(barrier, parity)) && !has_read(sequence)) {
      __nanosleep(20);
    }
  };
  if (tid >= kThreads) {
    if constexpr (kLora) {
      constexpr int32_t kShrinkers = kLoraWarps - 1;
      const int32_t own = (tid - kThreads) / 32;
      LoraSums<T, kRows, kPatches> sums(lora.site, division);
      int32_t sequence = 0, number = 0;  // of all units; of those of A, then of those of B, which the warps divide
      // Lets what was found come; the unit is complete when somebody has arrived at the barrier as well.
      const auto copy = [&](LoraLoader& loader, uint64_t* barrier) {
        const uint32_t bytes = loader.Bytes();
        await_stage(sequence);
        if (tid % 32 == 0) BarrierExpect(barrier, bytes);
        __syncwarp();
        loader.Copy(stages + static_cast<uint32_t>(sequence % kStages) * kStage, barrier);
      };
      bool inputs_known = false;
      const auto know_inputs = [&] {
        if (!inputs_known) WaitForPredecessor();
        inputs_known = true;
      };
      LoraLoader of_a_loader(lora, division);
      ForTiles(division.of_a.begin, of_a, per_tile, [&](int32_t tile, int32_t begin, int32_t end) {
#pragma unroll 1
        for (int32_t part = begin; part < end; ++part, ++sequence) {
          if (sequence % kShrinkers != own) continue;
          const bool early = sequence < ahead;
          const int32_t slot = sequence % kStages;
          uint64_t* barrier = early ? &landed[slot] : &full[slot];
          if (in_patches()) {
            of_a_loader.FindPatch(part);
          } else {
            of_a_loader.FindShrink(tile, part);
          }
          copy(of_a_loader, barrier);
          if (!early) know_inputs();
          if (tid % 32 != 0) continue;
          BarrierArriveExpecting(barrier, early ? 0 : kRows * 128);
          if (!early) copy_x(part, slot);
        }
      });
      if (const int32_t adder = own - (kLoraWarps - LoraSums<T, kRows, kPatches>::kAdders); adder >= 0 && !in_patches()) {
        ForTiles(division.of_a.begin, of_a, per_tile, [&](int32_t tile, int32_t, int32_t) { sums.AddUp(tile, adder, know_inputs); });
      }
      LoraLoader kept(lora, division);
      for_parts([&](const LoraPart& part) {
        sequence += part.end - part.begin;
#pragma unroll 1
        for (int32_t block = part.blocks.begin; block < part.blocks.end; ++block, ++sequence, ++number) {
          const bool in_turn = number % kLoraWarps == own;
          // Of many rows one warp would copy v slowly: where units of an output tile are few, each warp has some rows of all of them.
          const bool together = kRows > kLoraPolledRows && in_patches() && part.blocks.end - part.blocks.begin < kLoraWarps;
          if (!in_turn && !together) continue;
          const int32_t slot = sequence % kStages;
          LoraLoader fresh(lora, division);
          LoraLoader& of_b_loader = kPatches ? fresh : kept;  // with patches there are no registers to keep an octet in
          of_b_loader.FindExpand(part, block);
          const uint4 used_by = of_b_loader.RowsOfOctet<kRows>();
          if (in_turn) {
            copy(of_b_loader, &full[slot]);
          } else {
            await_stage(sequence);
          }
          know_inputs();
          constexpr int32_t kRowsEach = (kRows / 8 + kLoraWarps - 1) / kLoraWarps * 8;
          const UnitRange own_rows = together ? UnitRange{own * kRowsEach, min((own + 1) * kRowsEach, kRows)} : UnitRange{0, kRows};
          sums.Copy(block, part.octets, used_by, own_rows, stages + static_cast<uint32_t>(slot) * kStage + kStageWeightBytes, &full[slot]);
          if (together) {
            asm volatile("bar.sync 2, %0;" ::"n"(kLoraWarps * 32) : "memory");
          } else {
            __syncwarp();
          }
          if (in_turn && tid % 32 == 0) BarrierArrive(&full[slot]);
        }
      });
      if (own == kLoraWarps - 1) {
        know_inputs();
        sums.EmptyNext();
      }
    }
    return;
  }
  if (tid >= kProducer) {
    if (!kLora && tid != kProducer) return;
    uint64_t read_once;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(read_once));
    bool inputs_known = false;
    int32_t sequence = of_a, slot = sequence % kStages;
    const auto advance = [&](int32_t by) {
      sequence += by;
      for (slot += by; slot >= kStages;) slot -= kStages;
    };
    for_parts([&](const LoraPart& part) {
#pragma unroll 1
      for (int32_t unit = part.begin; unit < part.end; ++unit, advance(1)) {
        const bool early = sequence < ahead;
        uint64_t* barrier = early ? &landed[slot] : &full[slot];
        // In pairs, so that 256 bytes of a row of weights are asked for one after another.
        const bool second = unit % 2 != 0 && unit > part.begin;
        const int32_t last = unit % 2 == 0 && unit + 1 < part.end ? sequence + 1 : sequence;
        if (early && !second && last - kPace >= of_a) {
          while (!BarrierPassed(&landed[last - kPace], 0) && !BarrierPassed(&inputs_there, 0)) {
          }
        }
        if (!early && !(second && inputs_known)) {
          if (!inputs_known) WaitForPredecessor();
          inputs_known = true;
          await_stage(last);
          if (kLora && unit - part.begin >= lora.flight) await_landed(last - lora.flight);
        }
        if (tid != kProducer) continue;
        BarrierArriveExpecting(barrier, early ? kStageWeightBytes : kStage);
        CopyBox(stages + static_cast<uint32_t>(slot) * kStage, &weight, unit * kUnitInputs, part.tile * kProductTile, barrier, read_once);
        if (!early) copy_x(unit, slot);
      }
      if constexpr (kLora) advance(part.blocks.end - part.blocks.begin);
    });
    return;
  }
  if (tid < 32) {  // a lane for each of the first inputs
    int32_t input = Remainder(tid < of_a ? division.of_a.begin + tid : first + tid, per_tile);
    if (kLora && tid >= of_a) {
      int32_t begin = of_a;
      for_parts([&](const LoraPart& part) {
        if (tid >= begin && tid - begin < part.end - part.begin) input = part.begin + tid - begin;
        begin += part.end - part.begin;
      });
    }
    WaitForPredecessor();
    static_assert(kStages <= 32);
    if (in_patches() && tid < of_a) {
      constexpr int32_t kBoxes = LoraSums<T, kRows, kPatches>::kPatchBoxes;
      static_assert((1 + kBoxes) * kLoraPatchBytes <= kStage);
      BarrierArriveExpecting(&full[tid], kBoxes * kLoraPatchBytes);
#pragma unroll
      for (int32_t box = 0; box < kBoxes; ++box) {
        CopyBox(stages + static_cast<uint32_t>(tid) * kStage + (1 + box) * kLoraPatchBytes, &lora.x, 0,
                division.patch.row + box * kLoraPatchBoxRows, (division.of_a.begin + tid) * kLoraPatchParts, &full[tid], keep_in_l2());
      }
    } else if (tid < ahead) {
      BarrierArriveExpecting(&full[tid], kStage - kStageWeightBytes);
      copy_x(input, tid);
    }
    __syncwarp();
    if (tid == 0) BarrierArrive(&inputs_there);
  }
  __syncwarp();

  const int32_t warpgroup = tid / 128, lane = tid % 32;
  float d[kRows / 2];
  int32_t sequence = 0, slot = 0, sequence_before = 0, slot_before = -1;
  uint32_t parity = 0;
  const auto release = [&] {
    if (lane != 0 || slot_before < 0) return;
    if constexpr (kLora) {
      StoreRelaxedShared(&released[tid / 32], sequence_before + 1);
    } else {
      BarrierArrive(&empty[slot_before]);
    }
  };
  const auto begin_unit = [&] {
    if (sequence < ahead) BarrierWait(&landed[slot], 0);
    BarrierWait(&full[slot], parity);
    WgmmaFence();
    return stages + static_cast<uint32_t>(slot) * kStage;
  };
  const auto end_unit = [&] {
    WgmmaCommit();
    WgmmaWait<1>();  // the unit before this one has been read
    release();
    slot_before = slot;
    sequence_before = sequence++;
    if (++slot == kStages) slot = 0, parity ^= 1;
  };
  const auto end_tile = [&] {
    WgmmaWait<0>();
    release();
    slot_before = -1;
  };
  // Units of 64 inputs, of W or A.
  const auto multiply = [&](int32_t unit_count) {
#pragma unroll 1
    for (int32_t i = 0; i < unit_count; ++i) {
      const uint32_t stage = begin_unit();
      const uint64_t a = WgmmaDescriptor(stage + static_cast<uint32_t>(warpgroup) * 64 * 128);
      const uint64_t b = WgmmaDescriptor(stage + kStageWeightBytes);
#pragma unroll
      for (int32_t step = 0; step < kUnitInputs / 16; ++step) {
        Wgmma<T, kRows>::Run(d, a + 2 * step, b + 2 * step, i > 0 || step > 0);
      }
      end_unit();
    }
  };

  if constexpr (kPatches) {
    if (in_patches() && of_a > 0) {
      FindPatch<T, kRows, kConsumerWarps>(lora.site, division, of_a, per_tile, stage_bytes, landed, full);
      if (lane == 0) StoreRelaxedShared(&released[tid / 32], of_a);
      sequence = slot = of_a;
    }
  }
  if constexpr (kLora) {
    const LoraSums<T, kRows, kPatches> sums(lora.site, division);
    const int32_t of_tiles = in_patches() ? 0 : of_a;
    ForTiles(division.of_a.begin, of_tiles, per_tile, [&](int32_t tile, int32_t begin, int32_t end) {
      const auto members = sums.MembersOf(tile);
      multiply(end - begin);
      end_tile();
      sums.Store(tile, members, d);
    });
  }
  for_parts([&](const LoraPart& part) {
    const int32_t tile = part.tile;
    multiply(part.end - part.begin);
    if constexpr (kLora) {
      const UnitRange octets = part.octets, blocks = part.blocks;
#pragma unroll 1
      for (int32_t block = blocks.begin; block < blocks.end; ++block) {
        const uint32_t stage = begin_unit();
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // v came by ordinary copies
        const int32_t step_begin = max(octets.begin - block * kLoraBlockOctets, 0) / 2;
        const int32_t step_end = min(octets.end - block * kLoraBlockOctets, kLoraBlockOctets) / 2;
#pragma unroll
        for (int32_t step = 0; step < kLoraBlockOctets / 2; ++step) {  // what is another target's meets zeros
          const bool own = step >= step_begin && step < step_end;
          const uint32_t ranks = stage + static_cast<uint32_t>(warpgroup * 8192 + (own ? step : step_begin) * 2 * kLoraOctetBytes);
          const uint64_t v = own ? WgmmaDescriptor(stage + kStageWeightBytes) + 2 * step : WgmmaRepeatedDescriptor(SharedAddress(zeros));
          Wgmma<T, kRows, true>::Run(d, WgmmaTransposedDescriptor(ranks, 8192), v, true);
        }
        end_unit();
      }
    }
    end_tile();
    const int32_t first_block = Quotient(tile * per_tile, static_cast<int32_t>(y.units_per_block));
    const int32_t partial = static_cast<int32_t>(blockIdx.x) - first_block;
    float* target = y.floats() + partial * y.partial_stride;
    const int32_t col = tile * kProductTile + tid / 32 * 16 + lane / 4;
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
  });
#endif
}

// Units of weights, in pairs, that memory delivers in so many seconds to each multiprocessor; where the driver does not tell, of an H200.
int32_t UnitsIn(double seconds, Launcher& launcher) {
  int device = 0, khz = 0, bits = 0;
  launcher.Note(cudaGetDevice(&device));
  launcher.Note(cudaDeviceGetAttribute(&khz, cudaDevAttrMemoryClockRate, device));
  launcher.Note(cudaDeviceGetAttribute(&bits, cudaDevAttrGlobalMemoryBusWidth, device));
  const double bandwidth = khz > 0 && bits > 0 ? 2e3 * khz * (bits / 8.0) : 4.8e12;
  return 2 * std::max(1, static_cast<int32_t>(bandwidth * seconds / launcher.sm_count / kStageWeightBytes / 2 + 0.5));
}

// Units of weights that are under way at once with LoRA: with more, what its few loads wait for comes late, with fewer memory is not
// always busy. Short products end when v has come, so fewer are better there (docs/KERNELS.md).
int32_t Flight(const ProductPlan& plan, bool patches, Launcher& launcher) {
  constexpr uint32_t kShort = 16;  // units of a block, most of which have been asked for before the inputs are there
  // GPUs of one process are alike.
  static const int32_t of_long = UnitsIn(2.8e-6, launcher), with_patches = UnitsIn(3.2e-6, launcher), of_short = UnitsIn(1.4e-6, launcher);
  return plan.units_per_block <= kShort ? of_short : patches ? with_patches : of_long;
}

template <typename T, int32_t kRows, bool kLora, bool kPatches>
void LaunchStream(Launcher& launcher, const ProductPlan& plan, const GemmStreamArgs& args) {
  const auto kernel = GemmStreamKernel<T, kRows, kLora, kPatches>;
  constexpr int32_t kShared = sizeof(StreamShared<kRows>);
  // The product after decode attention begins before that has ended everywhere: beside a block of it that has four heads.
  constexpr size_t kOfMultiprocessor = 228 * 1024, kOfSystem = 1024 + 128;  // for each block, with what is rounded up
  static_assert(kShared + DecodeSharedBytes(4, 128) + 2 * kOfSystem <= kOfMultiprocessor);
  launcher.Note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  StreamLora lora = args.lora;
  if constexpr (kLora) lora.flight = Flight(plan, kPatches, launcher);
  launcher.Launch(kernel, dim3(plan.blocks), dim3(ThreadCount(kLora)), kShared, args.weight, args.x, args.y, args.rows,
                  plan.units, lora);
}

template <typename T, int32_t kRows>
void LaunchStream(Launcher& launcher, const ProductPlan& plan, const GemmStreamArgs& args) {
  if (args.lora.site.groups == nullptr) {
    LaunchStream<T, kRows, false, false>(launcher, plan, args);
    return;
  }
  if constexpr (LoraPatchRows(kRows) > 0) {
    if (args.lora.patches) {
      LaunchStream<T, kRows, true, true>(launcher, plan, args);
      return;
    }
  }
  LaunchStream<T, kRows, true, false>(launcher, plan, args);
}

}  // namespace

int32_t StreamBox(int32_t rows) { return rows <= 16 ? 16 : rows <= 32 ? 32 : rows <= 64 ? 64 : 128; }

void GemmStream(Launcher& launcher, Element element, const ProductPlan& plan, const GemmStreamArgs& args) {
  if (launcher.sm_major != 9 || args.rows > kStreamRowsMax || (args.lora.site.groups != nullptr && !CanHaveLora(plan))) {
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
