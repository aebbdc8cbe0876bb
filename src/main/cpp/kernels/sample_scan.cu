#include "kernels/exchange.cuh"
#include "kernels/sample.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;
constexpr int32_t kFours = kSampleChunk / kThreads / 4;  // groups of four neighbouring tokens of a thread

// The block's best, in every thread.
__device__ __forceinline__ Scored BlockBest(Scored x, Scored* scratch) {
  x = WarpBest(x);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  x = scratch[0];
#pragma unroll
  for (int32_t i = 1; i < kWarps; ++i) {
    if (Better(scratch[i], x)) x = scratch[i];
  }
  __syncthreads();
  return x;
}

// Computes   final logits: sum of partials, penalties, bias, mask; of each chunk of 4,096 tokens the largest logit, the
//            sum of exponentials, and the token with the best (logit - largest) / temperature + Gumbel noise
// Shapes     logits Product [K, words]; one summary for each row and chunk, handed to every shard
// Grid       (chunks, K); a thread owns 4 groups of 4 neighbouring tokens, which share one Philox block
// Shared     a few hundred bytes
// Exactness  scores are compared in double, after a float score has dropped the tokens that cannot be the best. The
//            specification subtracts the row's largest logit before it divides, this the chunk's, so within a chunk two
//            scores may change places where they differ by less than 1e-6; SampleFinish compares chunks exactly.
// Requires   y.cols a multiple of 4, the first word one of 32
// Bound by   bytes: 4 (partials + 1) words a row, in L2
// Reference  cpu_sample.cc
// Measured   H100, 2026-11-22, both passes, V = 128,256, at 1 / 32 / 128 rows: greedy 10 / 24 / 86 us, temperature
//            17 / 46 / 165 us
__global__ void __launch_bounds__(kThreads) SampleScanKernel(const SampleArgs args, const SampleWords words, const bool write_back) {
  __shared__ Scored best_scratch[kWarps];
  __shared__ float float_scratch[kWarps];
  __shared__ double double_scratch[kWarps];
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t k = static_cast<int32_t>(blockIdx.y);
  const SampleRow row = args.rows[k];
  const int32_t base = words.first + static_cast<int32_t>(blockIdx.x) * kSampleChunk, end = words.first + words.count;
  WaitForPredecessor();

  float logit[kFours][4];
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t token = base + (i * kThreads + tid) * 4;
    float4 four = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const int32_t col = token - words.first;
    if (token < end) four = LoadFloats4(words.logits, k, col, PartialCount(words.logits, col));
    const float values[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int32_t j = 0; j < 4; ++j) logit[i][j] = token + j < end ? values[j] : -INFINITY;
  }
  if (row.scratch >= 0 && (row.repetition != 1 || row.presence != 0 || row.frequency != 0)) {
    const uint32_t* counts = args.counts + static_cast<int64_t>(row.scratch) * args.vocab;
#pragma unroll
    for (int32_t i = 0; i < kFours * 4; ++i) {
      const int32_t token = base + (i / 4 * kThreads + tid) * 4 + i % 4;
      const uint32_t seen = token < end ? counts[token] : 0;
      const uint32_t output = min(seen & 0x7fffffffu, 65535u);
      float& l = logit[i / 4][i % 4];
      if (seen != 0) l = l > 0 ? __fdiv_rn(l, row.repetition) : __fmul_rn(l, row.repetition);
      if (output != 0) {
        l = __fsub_rn(__fsub_rn(l, row.presence), __fmul_rn(row.frequency, static_cast<float>(output)));
      }
    }
  }
  for (int32_t entry = row.bias_begin; entry < row.bias_end; ++entry) {  // each thread adds to its own tokens, in order
    const int32_t place = args.bias_ids[entry] - base;
    if (place < 0 || place >= kSampleChunk || place / 4 % kThreads != tid) continue;
    const float value = args.bias_values[entry];
#pragma unroll
    for (int32_t i = 0; i < kFours * 4; ++i) {
      if (place == (i / 4 * kThreads + tid) * 4 + i % 4) logit[i / 4][i % 4] = __fadd_rn(logit[i / 4][i % 4], value);
    }
  }
  if (row.mask >= 0) {
    const uint32_t* bits = args.mask_bits + static_cast<int64_t>(row.mask) * ((args.vocab + 31) / 32);
#pragma unroll
    for (int32_t i = 0; i < kFours; ++i) {
      const int32_t token = base + (i * kThreads + tid) * 4;
      const uint32_t allowed = token < end ? bits[token / 32] >> (token % 32) : 0;
#pragma unroll
      for (int32_t j = 0; j < 4; ++j) {
        if ((allowed >> j & 1) == 0) logit[i][j] = -INFINITY;
      }
    }
  }

  bool bad = false;
  Scored best = NoScore();
#pragma unroll
  for (int32_t i = 0; i < kFours; ++i) {
    const int32_t token = base + (i * kThreads + tid) * 4;
    if (write_back && token < end) {
      float* target = words.logits.floats() + static_cast<int64_t>(k) * words.logits.cols + (token - words.first);
      *reinterpret_cast<float4*>(target) = {logit[i][0], logit[i][1], logit[i][2], logit[i][3]};
    }
#pragma unroll
    for (int32_t j = 0; j < 4; ++j) {
      bad = bad || isnan(logit[i][j]) || logit[i][j] == INFINITY;
      const Scored candidate = {logit[i][j], token + j, logit[i][j]};
      if (Better(candidate, best)) best = candidate;
    }
  }
  bad = __syncthreads_or(bad) != 0;
  best = BlockBest(best, best_scratch);
  const float max = best.logit;
  double exp_sum = 0;
  if (row.top_logprobs >= 0 && max > -INFINITY && !bad) {
#pragma unroll
    for (int32_t i = 0; i < kFours * 4; ++i) exp_sum += static_cast<double>(expf(logit[i / 4][i % 4] - max));
  }
#pragma unroll
  for (int32_t mask = 16; mask > 0; mask >>= 1) exp_sum += __shfl_xor_sync(0xffffffffu, exp_sum, mask);
  if (tid % 32 == 0) double_scratch[tid / 32] = exp_sum;

  Scored draw = NoScore();
  if (row.temperature != 0 && max > -INFINITY && !bad) {
    float near[kFours][4];
    uint4 random[kFours];
    float near_max = -INFINITY;
    const float inverse_temperature = 1.0f / row.temperature;
#pragma unroll
    for (int32_t i = 0; i < kFours; ++i) {
      random[i] = RandomOfTokens(row, base + (i * kThreads + tid) * 4);
      const uint32_t r[4] = {random[i].x, random[i].y, random[i].z, random[i].w};
#pragma unroll
      for (int32_t j = 0; j < 4; ++j) {
        near[i][j] = (logit[i][j] - max) * inverse_temperature + GumbelNear(r[j]);
        near_max = fmaxf(near_max, near[i][j]);
      }
    }
    near_max = WarpMax(near_max);
    if (tid % 32 == 0) float_scratch[tid / 32] = near_max;
    __syncthreads();
#pragma unroll
    for (int32_t i = 0; i < kWarps; ++i) near_max = fmaxf(near_max, float_scratch[i]);
    const float least = near_max - NearMargin(near_max);
#pragma unroll
    for (int32_t i = 0; i < kFours; ++i) {
      const uint32_t r[4] = {random[i].x, random[i].y, random[i].z, random[i].w};
#pragma unroll
      for (int32_t j = 0; j < 4; ++j) {
        if (!(near[i][j] >= least)) continue;
        const double score = static_cast<double>(ScaledLogit(logit[i][j], max, row.temperature)) + Gumbel(r[j]);
        const Scored candidate = {score, base + (i * kThreads + tid) * 4 + j, logit[i][j]};
        if (Better(candidate, draw)) draw = candidate;
      }
    }
    draw = BlockBest(draw, best_scratch);
  }
  __syncthreads();
  const SampleExchange& exchange = args.exchange;
  if (tid >= exchange.shards) return;
  double sum = 0;
  for (int32_t i = 0; i < kWarps; ++i) sum += double_scratch[i];
  SampleSummary* summaries = exchange.shards > 1 ? exchange.summaries[tid] : args.summaries;
  summaries[static_cast<int64_t>(k) * args.chunks + words.chunk + blockIdx.x] = {sum,     max,        best.id,
                                                                                 draw.id, draw.logit, bad ? 1 : 0, 0};
  if (tid != exchange.shard) AddArrival(exchange.arrivals[tid] + k * exchange.shards + exchange.shard);
}

// Computes   counts of the tokens that the step's rows feed (SampleArgs::counts)
// Grid       a thread a row; additions are of integers, so their order does not matter
__global__ void CountTokensKernel(const CountArgs args, const int32_t rows) {
  AllowSuccessor();
  WaitForPredecessor();
  const int32_t row = static_cast<int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= rows) return;
  const int32_t sequence = args.sequence[row];
  const int32_t scratch = args.scratch[sequence];
  if (scratch < 0) return;
  int32_t id = args.token_ids[row];
  if (id < 0) id = max(0, args.drawn[-id - 1]);
  uint32_t* count = args.counts + static_cast<int64_t>(scratch) * args.vocab + id;
  if (args.positions[row] < args.prompt[sequence]) {
    atomicOr(count, 0x80000000u);
  } else {
    atomicAdd(count, 1u);
  }
}

}  // namespace

void SampleScan(Launcher& launcher, int32_t rows, bool truncated, const SampleArgs& args, const SampleWords& words) {
  if (words.count == 0) return;
  launcher.Launch(SampleScanKernel, dim3(SampleChunks(words.count), rows), dim3(kThreads), 0, args, words, truncated);
}

void CountTokens(Launcher& launcher, int32_t rows, const CountArgs& args) {
  launcher.Launch(CountTokensKernel, dim3((rows + 255) / 256), dim3(256), 0, args, rows);
}

}  // namespace chorale::cuda
