#include "kernels/lora_tile.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kRows = 32;   // outputs of a block
constexpr int32_t kRanks = 64;  // at a time
constexpr int32_t kThreads = 2 * kLoraTile;

template <typename T>
__device__ __forceinline__ uint16_t Bits(const T& value) {
  return *reinterpret_cast<const uint16_t*>(&value);
}

// Computes   delta = scale * sum_j B[n][j] A[j][k], the sum over j in order, in float32; then by mode
//              kMerge    weight = round(weight + delta)
//              kCount    how many weights round(round(weight + delta) - delta) does not give back
//              kLog      as kMerge, and keeps those weights with their places
//              kUnmerge  weight = round(weight - delta)
//            The delta is the same to the bit whenever it is computed, so unmerging and putting back what the log holds
//            leaves the weights as they were.
// Shapes     weight [N, K] T; A and B in tiles (memory/page_layout.h)
// Grid       (K / 128 rounded up, N / 32 rounded up): a thread owns one column and every second of 32 rows
// Shared     8 KiB: the block's part of B
// Bound by   bytes of the weights, 4 N K, up to rank 16 or so; FLOPs 2 r N K above
// Order      entries of the log lie as blocks come: one atomic addition for each block
// Reference  cpu_reference.cc Merge
// Measured   not yet
template <typename T>
__global__ void __launch_bounds__(kThreads) LoraMergeKernel(const LoraMergeArgs args) {
  __shared__ float b[kRanks][kRows];
  __shared__ uint32_t block_entries, block_first;
  AllowSuccessor();
  WaitForPredecessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t tile = static_cast<int32_t>(blockIdx.x);
  const int32_t col = tid % kLoraTile, k = tile * kLoraTile + col;
  const int32_t row0 = static_cast<int32_t>(blockIdx.y) * kRows;
  const int32_t rank = args.matrix.rank;
  float sum[kRows / 2] = {};
  for (int32_t rank0 = 0; rank0 < rank; rank0 += kRanks) {
    const int32_t ranks = min(kRanks, rank - rank0);
    __syncthreads();
    for (int32_t i = tid; i < ranks * kRows; i += kThreads) {
      const int32_t j = i / kRows, row = i % kRows;
      const auto* line = reinterpret_cast<const T*>(LoraTileRow(args.pool, args.pages, args.layer, args.matrix.b_offset, rank,
                                                                args.outputs, row0 / kLoraTile, rank0 + j));
      b[j][row] = row0 + row < args.outputs ? ToFloat(line[row0 % kLoraTile + row]) : 0.0f;
    }
    __syncthreads();
    if (k >= args.inputs) continue;
    for (int32_t j = 0; j < ranks; ++j) {
      const auto* line = reinterpret_cast<const T*>(LoraTileRow(args.pool, args.pages, args.layer, args.matrix.a_offset, rank,
                                                                args.inputs, tile, rank0 + j));
      const float a = ToFloat(line[col]);
#pragma unroll
      for (int32_t i = 0; i < kRows / 2; ++i) sum[i] += a * b[j][i * 2 + tid / kLoraTile];
    }
  }
  const float scale = args.matrix.scale * args.scale;
  const bool looks = args.mode == MergeMode::kCount || args.mode == MergeMode::kLog;
  T old[kRows / 2];
  uint32_t lost = 0;  // a bit for each row that subtracting does not give back
#pragma unroll
  for (int32_t i = 0; i < kRows / 2; ++i) {
    const int32_t row = row0 + i * 2 + tid / kLoraTile;
    if (k >= args.inputs || row >= args.outputs) continue;
    T* weight = static_cast<T*>(args.weight) + (args.row_begin + row) * args.stride + k;
    const float delta = __fmul_rn(scale, sum[i]);
    old[i] = *weight;
    if (args.mode == MergeMode::kUnmerge) {
      *weight = FromFloat<T>(__fsub_rn(ToFloat(old[i]), delta));
      continue;
    }
    const T merged = FromFloat<T>(__fadd_rn(ToFloat(old[i]), delta));
    const T back = FromFloat<T>(__fsub_rn(ToFloat(merged), delta));
    if (looks && Bits(back) != Bits(old[i])) lost |= 1u << i;
    if (args.mode != MergeMode::kCount) *weight = merged;
  }
  if (!looks) return;
  if (tid == 0) block_entries = 0;
  __syncthreads();
  const uint32_t first_of_thread = atomicAdd(&block_entries, static_cast<uint32_t>(__popc(lost)));
  __syncthreads();
  if (tid == 0) block_first = atomicAdd(args.log_count, block_entries);
  __syncthreads();
  if (args.mode == MergeMode::kCount) return;
  uint32_t entry = block_first + first_of_thread;
#pragma unroll
  for (int32_t i = 0; i < kRows / 2; ++i) {
    if ((lost >> i & 1u) == 0) continue;
    args.log_places[entry] = static_cast<uint32_t>((args.row_begin + row0 + i * 2 + tid / kLoraTile) * args.stride + k);
    args.log_bits[entry] = Bits(old[i]);
    ++entry;
  }
}

// Computes   weight[places[i]] = bits[i]
// Grid       a thread for each entry
// Bound by   bytes: 6 an entry, and a sector of 32 for each weight
__global__ void __launch_bounds__(kThreads) RestoreKernel(uint16_t* weight, const uint32_t* places, const uint16_t* bits,
                                                          const int64_t count) {
  AllowSuccessor();
  WaitForPredecessor();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) weight[places[i]] = bits[i];
}

}  // namespace

void LoraMerge(Launcher& launcher, Element element, const LoraMergeArgs& args) {
  const dim3 grid((args.inputs + kLoraTile - 1) / kLoraTile, (args.outputs + kRows - 1) / kRows);
  WithElement(element, [&](auto type) {
    launcher.Launch(LoraMergeKernel<decltype(type)>, grid, dim3(kThreads), 0, args);
  });
}

void RestoreWeights(Launcher& launcher, void* weight, const uint32_t* places, const uint16_t* bits, int64_t count) {
  if (count == 0) return;
  launcher.Launch(RestoreKernel, dim3(static_cast<uint32_t>((count + kThreads - 1) / kThreads)), dim3(kThreads), 0,
                  static_cast<uint16_t*>(weight), places, bits, count);
}

}  // namespace chorale::cuda
