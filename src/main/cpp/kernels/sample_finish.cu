#include <cmath>

#include "kernels/exchange.cuh"
#include "kernels/sample.cuh"

namespace chorale::cuda {
namespace {

constexpr int32_t kThreads = 1024;
constexpr int32_t kWarps = kThreads / 32;
constexpr int32_t kBins = 256;
constexpr int32_t kListMax = 3072;

// A rank of tokens without ties: better logits are larger, and of equal ones the lower id is. -0 and 0 are equal.
__device__ __forceinline__ uint64_t RankKey(float logit, int32_t id) {
  const uint32_t bits = __float_as_uint(__fadd_rn(logit, 0.0f));
  const uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(ordered) << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

__device__ __forceinline__ float ValueOfKey(uint64_t key) {
  const auto ordered = static_cast<uint32_t>(key >> 32);
  return __uint_as_float((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
}
__device__ __forceinline__ uint64_t LargerKey(uint64_t a, uint64_t b) { return a > b ? a : b; }

struct Shared {
  uint32_t bins[2][kBins];  // low and high halves of weights
  uint64_t list[kListMax];
  int32_t listed;
  int32_t bin;
  uint64_t prefix;           // of the key that Select looks for
  unsigned long long above;  // weight of all keys that are better than what bin and prefix say
  Scored best[kWarps];
  float max[kWarps];
  int32_t top_count;
  Scored top[kTopLogprobsMax];
};

// The row as Select sees it: a rank key for each token, and how far below the best it is. Both fall together.
struct Ranking {
  const float* logits;
  int32_t vocab;
  float max;          // of the logits
  float temperature;  // 0: rank by the logits themselves

  __device__ __forceinline__ float Value(float logit) const {
    return temperature == 0 ? logit : ScaledLogit(logit, max, temperature);
  }
  __device__ __forceinline__ int32_t Bin(float logit) const {  // 1/8 wide, the last for all that is far below
    return static_cast<int32_t>(fminf((max - logit) * 8.0f, kBins - 1.0f));
  }
};

// body(token, logit) for all tokens of the row; a thread has several loads of four under way.
template <typename Body>
__device__ __forceinline__ void ForEachToken(const Ranking& ranking, Body&& body) {
#pragma unroll 4
  for (int32_t token = static_cast<int32_t>(threadIdx.x) * 4; token < ranking.vocab; token += kThreads * 4) {
    const float4 four = *reinterpret_cast<const float4*>(ranking.logits + token);
    body(token, four.x);
    if (token + 1 < ranking.vocab) body(token + 1, four.y);
    if (token + 2 < ranking.vocab) body(token + 2, four.z);
    if (token + 3 < ranking.vocab) body(token + 3, four.w);
  }
}

// 64 bits in two atomic additions of 32, which shared memory does by itself: the low one tells whether there is a carry.
__device__ __forceinline__ void AddToBin(Shared& shared, int32_t bin, unsigned long long weight) {
  const auto low = static_cast<uint32_t>(weight);
  const uint32_t old = atomicAdd(&shared.bins[0][bin], low);
  const uint32_t high = static_cast<uint32_t>(weight >> 32) + (old + low < old ? 1 : 0);
  if (high != 0) atomicAdd(&shared.bins[1][bin], high);
}
__device__ __forceinline__ unsigned long long BinOf(const Shared& shared, int32_t bin) {
  return static_cast<unsigned long long>(shared.bins[1][bin]) << 32 | shared.bins[0][bin];
}
__device__ __forceinline__ void ClearBins(Shared& shared) {
  if (threadIdx.x < 2 * kBins) shared.bins[threadIdx.x / kBins][threadIdx.x % kBins] = 0;
}

// Adds weights to bins. Neighbours often go to the same bin, so a thread keeps what it has for one until another comes.
class BinAdder {
 public:
  __device__ __forceinline__ explicit BinAdder(Shared& shared) : shared_(&shared) {}
  __device__ __forceinline__ void Add(int32_t bin, unsigned long long weight) {
    if (bin != bin_) {
      Flush();
      bin_ = bin;
    }
    sum_ += weight;
  }
  __device__ __forceinline__ void Flush() {
    if (sum_ != 0) AddToBin(*shared_, bin_, sum_);
    sum_ = 0;
  }

 private:
  Shared* shared_;
  unsigned long long sum_ = 0;
  int32_t bin_ = 0;
};

// Adds the bins from `first` in steps of `step` until the next would bring the weight above to `wanted`: that is the bin
// where the key lies. One thread.
__device__ __forceinline__ int32_t FindBin(Shared& shared, int32_t first, int32_t step, unsigned long long wanted) {
  int32_t bin = first;
  unsigned long long above = shared.above;
  for (int32_t i = 1; i < kBins && above + BinOf(shared, bin) < wanted; ++i) {
    above += BinOf(shared, bin);
    bin += step;
  }
  shared.above = above;
  return bin;
}

// The largest key c such that the weight of all keys >= c is at least `wanted`: the keys from c on are the shortest
// prefix of the ranking that weighs so much. Weights are integers, so the result does not depend on any order of sums; a
// token's weight is 0 where it takes no part. First the bin by depth, then eight bits of the key at a time, among the
// keys of that bin: from a list in shared memory where they fit, else from the row.
template <typename Weight>
__device__ uint64_t Select(Shared& shared, const Ranking& ranking, unsigned long long wanted, Weight&& weight) {
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  ClearBins(shared);
  if (tid == 0) {
    shared.above = 0;
    shared.listed = 0;
    shared.prefix = 0;
  }
  __syncthreads();
  BinAdder near(shared), far(shared);  // the last bin is apart: most tokens may be there
  ForEachToken(ranking, [&](int32_t token, float logit) {
    const float value = ranking.Value(logit);
    const int32_t bin = ranking.Bin(logit);
    const unsigned long long w = weight(value, RankKey(value, token));
    if (bin == kBins - 1) {
      far.Add(bin, w);
    } else {
      near.Add(bin, w);
    }
  });
  near.Flush();
  far.Flush();
  __syncthreads();
  if (tid == 0) shared.bin = FindBin(shared, 0, 1, wanted);
  __syncthreads();
  const int32_t chosen = shared.bin;
  ForEachToken(ranking, [&](int32_t token, float logit) {
    if (ranking.Bin(logit) != chosen) return;
    const int32_t place = atomicAdd(&shared.listed, 1);
    if (place < kListMax) shared.list[place] = RankKey(ranking.Value(logit), token);
  });
  __syncthreads();
  const bool fits = shared.listed <= kListMax;
  const int32_t count = fits ? shared.listed : ranking.vocab;
  for (int32_t shift = 56; shift >= 0; shift -= 8) {
    ClearBins(shared);
    __syncthreads();
    const uint64_t prefix = shared.prefix;
    BinAdder adder(shared);
    for (int32_t i = tid; i < count; i += kThreads) {
      uint64_t key;
      float value;
      if (fits) {
        key = shared.list[i];
        value = ValueOfKey(key);
      } else {
        if (ranking.Bin(ranking.logits[i]) != chosen) continue;
        value = ranking.Value(ranking.logits[i]);
        key = RankKey(value, i);
      }
      if (shift < 56 && key >> (shift + 8) != prefix >> (shift + 8)) continue;
      adder.Add(static_cast<int32_t>(key >> shift & 0xff), weight(value, key));
    }
    adder.Flush();
    __syncthreads();
    if (tid == 0) shared.prefix = prefix | static_cast<uint64_t>(FindBin(shared, kBins - 1, -1, wanted)) << shift;
    __syncthreads();
  }
  const uint64_t key = shared.prefix;
  __syncthreads();  // the next Select begins by writing there
  return key;
}

__device__ __forceinline__ Scored BlockBest(Scored x, Scored* scratch) {  // in every thread
  x = WarpBest(x);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  return WarpBest(scratch[threadIdx.x % 32]);
}

// Of several shards: until the others' summaries of the row have come. The counts of arrivals are 0 then.
__device__ __forceinline__ void AwaitSummaries(const SampleExchange& exchange, int32_t row) {
  const auto from = static_cast<int32_t>(threadIdx.x);
  if (from < exchange.shards && from != exchange.shard) {
    AwaitArrivals(exchange.arrivals[exchange.shard] + row * exchange.shards + from, exchange.expected[from],
                  MissedState(exchange.shard, from), exchange.state, exchange.patience_nanos);
  }
  __syncthreads();
}

// Computes   what is drawn: from the chunks' summaries where the row is not truncated; else by thresholds in the ranking
//            (min-p, top-k, top-p) and a second look at the row. Then log-probabilities of the drawn and the best tokens.
// Grid       one block a row
// Shared     28 KiB
// Exactness  masses for top-p are integers: exp((l - max) / temperature) in units of 2^-46
// Bound by   nothing for rows that are not truncated; else about 8 passes over the row, which is in L2
// Reference  cpu_sample.cc
// Measured   H100, 2026-11-22, both passes, V = 128,256, at 1 / 32 / 128 rows: top-k 40 121 / 166 / 329 us, top-p 0.9
//            238 / 278 / 446 us
__global__ void __launch_bounds__(kThreads) SampleFinishKernel(const SampleArgs args) {
  __shared__ Shared shared;
  AllowSuccessor();
  const int32_t tid = static_cast<int32_t>(threadIdx.x);
  const int32_t k = static_cast<int32_t>(blockIdx.x);
  const SampleRow row = args.rows[k];
  WaitForPredecessor();
  const int32_t chunks = args.chunks;
  const SampleSummary* summaries = args.summaries + static_cast<int64_t>(k) * chunks;
  if (args.exchange.shards > 1) AwaitSummaries(args.exchange, k);
  float max = -INFINITY;
  int32_t max_id = -1;
  bool bad = false;
  for (int32_t i = 0; i < chunks; ++i) {
    bad = bad || summaries[i].bad != 0;
    if (summaries[i].max > max) {
      max = summaries[i].max;
      max_id = summaries[i].max_id;
    }
  }
  int32_t* top_ids = args.top_ids + static_cast<int64_t>(k) * kTopLogprobsMax;
  float* top_logprobs = args.top_logprobs + static_cast<int64_t>(k) * kTopLogprobsMax;
  if (tid < kTopLogprobsMax) top_ids[tid] = -1;
  if (bad || max == -INFINITY) {
    if (tid == 0) {
      args.ids[k] = -1;
      args.logprobs[k] = NAN;
    }
    return;
  }
  const float* logits = args.logits.floats() + static_cast<int64_t>(k) * args.logits.cols;

  Scored draw = NoScore();
  if (row.temperature == 0) {
    draw = {0, max_id, max};
  } else if (row.top_k == 0 && row.top_p >= 1 && row.min_p <= 0) {
    for (int32_t i = tid; i < chunks; i += kThreads) {
      const SampleSummary& s = summaries[i];
      if (s.max == -INFINITY) continue;
      const uint4 random = RandomOfTokens(row, s.draw_id);
      const uint32_t r = s.draw_id % 4 == 0 ? random.x : s.draw_id % 4 == 1 ? random.y : s.draw_id % 4 == 2 ? random.z : random.w;
      const double score = static_cast<double>(ScaledLogit(s.draw_logit, max, row.temperature)) + Gumbel(r);
      const Scored candidate = {score, s.draw_id, s.draw_logit};
      if (Better(candidate, draw)) draw = candidate;
    }
    draw = BlockBest(draw, shared.best);
  } else {
    const Ranking ranking{logits, args.vocab, max, row.temperature};
    uint64_t least = RankKey(-INFINITY, -1) + 1;  // every finite logit is larger
    if (row.min_p > 0) {
      const float threshold = static_cast<float>(log(static_cast<double>(row.min_p)));
      least = LargerKey(least, RankKey(threshold, -1));
    }
    if (row.top_k > 0 && row.top_k < args.vocab) {
      const uint64_t floor_key = least;
      const auto count = [floor_key](float, uint64_t key) { return key >= floor_key ? 1ull : 0ull; };
      least = LargerKey(least, Select(shared, ranking, row.top_k, count));
    }
    if (row.top_p < 1) {
      const uint64_t floor_key = least;
      const auto mass = [floor_key](float t, uint64_t key) {
        return key >= floor_key ? static_cast<unsigned long long>(expf(t) * 70368744177664.0f) : 0ull;
      };
      ClearBins(shared);
      __syncthreads();
      unsigned long long own = 0;
      ForEachToken(ranking, [&](int32_t token, float logit) {
        const float t = ranking.Value(logit);
        own += mass(t, RankKey(t, token));
      });
      AddToBin(shared, 0, own);
      __syncthreads();
      const auto wanted =
          static_cast<unsigned long long>(ceil(static_cast<double>(row.top_p) * static_cast<double>(BinOf(shared, 0))));
      __syncthreads();
      least = LargerKey(least, Select(shared, ranking, wanted > 0 ? wanted : 1, mass));
    }
    // The draw among what is left: near scores first, then the exact ones of those that may be the best.
    float near_max = -INFINITY;
    for (int32_t pass = 0; pass < 2; ++pass) {
      const float bound = near_max - NearMargin(near_max);
      draw = NoScore();
#pragma unroll 2
      for (int32_t token = tid * 4; token < args.vocab; token += kThreads * 4) {
        const float4 four = *reinterpret_cast<const float4*>(logits + token);
        const float logit[4] = {four.x, four.y, four.z, four.w};
        float t[4];
        bool left[4];
#pragma unroll
        for (int32_t j = 0; j < 4; ++j) {
          t[j] = ranking.Value(logit[j]);
          left[j] = token + j < args.vocab && RankKey(t[j], token + j) >= least;
        }
        if (!(left[0] || left[1] || left[2] || left[3])) continue;
        const uint4 random = RandomOfTokens(row, token);
        const uint32_t r[4] = {random.x, random.y, random.z, random.w};
#pragma unroll
        for (int32_t j = 0; j < 4; ++j) {
          if (!left[j]) continue;
          const float near = t[j] + GumbelNear(r[j]);
          if (pass == 0) {
            near_max = fmaxf(near_max, near);
          } else if (near >= bound) {
            const Scored candidate = {static_cast<double>(t[j]) + Gumbel(r[j]), token + j, logit[j]};
            if (Better(candidate, draw)) draw = candidate;
          }
        }
      }
      if (pass == 0) {
        near_max = WarpMax(near_max);
        if (tid % 32 == 0) shared.max[tid / 32] = near_max;
        __syncthreads();
        near_max = WarpMax(shared.max[tid % 32]);
      } else {
        draw = BlockBest(draw, shared.best);
      }
    }
  }

  double exp_sum = 0;
  if (row.top_logprobs >= 0) {
    for (int32_t i = 0; i < chunks; ++i) {
      if (summaries[i].max == -INFINITY) continue;
      exp_sum += summaries[i].exp_sum * exp(static_cast<double>(summaries[i].max) - static_cast<double>(max));
    }
  }
  const double log_sum = static_cast<double>(max) + log(exp_sum);
  if (tid == 0) {
    args.ids[k] = draw.id;
    args.logprobs[k] = row.top_logprobs < 0 ? NAN : static_cast<float>(static_cast<double>(draw.logit) - log_sum);
  }
  if (row.top_logprobs > 0) {
    const int32_t wanted = min(row.top_logprobs, kTopLogprobsMax);
    const uint64_t finite = RankKey(-INFINITY, -1) + 1;
    const auto count = [finite](float, uint64_t key) { return key >= finite ? 1ull : 0ull; };
    const uint64_t least = LargerKey(finite, Select(shared, {logits, args.vocab, max, 0.0f}, wanted, count));
    if (tid == 0) shared.top_count = 0;
    __syncthreads();
    for (int32_t token = tid; token < args.vocab; token += kThreads) {
      if (RankKey(logits[token], token) < least) continue;
      const int32_t place = atomicAdd(&shared.top_count, 1);
      if (place < kTopLogprobsMax) shared.top[place] = {logits[token], token, logits[token]};
    }
    __syncthreads();
    if (tid < shared.top_count) {  // its place is the number of better ones
      const Scored own = shared.top[tid];
      int32_t place = 0;
      for (int32_t i = 0; i < shared.top_count; ++i) place += Better(shared.top[i], own) ? 1 : 0;
      top_ids[place] = own.id;
      top_logprobs[place] = static_cast<float>(static_cast<double>(own.logit) - log_sum);
    }
  }
}

}  // namespace

void SampleFinish(Launcher& launcher, int32_t rows, const SampleArgs& args) {
  launcher.Launch(SampleFinishKernel, dim3(rows), dim3(kThreads), 0, args);
}

void Sample(Launcher& launcher, int32_t rows, bool truncated, SampleArgs args) {
  args.chunks = SampleChunks(args.vocab);
  SampleScan(launcher, rows, truncated, args, {.logits = args.logits, .count = args.vocab});
  SampleFinish(launcher, rows, args);
}

}  // namespace chorale::cuda
