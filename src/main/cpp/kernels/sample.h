// Sampling on the device: the specification is backend/cpu/cpu_sample.h, and the draws are the same.
#pragma once

#include "kernels/exchange.h"
#include "kernels/launch.h"

namespace chorale::cuda {

inline constexpr int32_t kTopLogprobsMax = 20;
inline constexpr int32_t kSampleChunk = 4096;  // tokens that one block of the first pass looks at

struct SampleRow {
  int64_t seed = 0;
  float temperature = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition = 1;
  float presence = 0;
  float frequency = 0;
  int32_t top_k = 0;
  int32_t top_logprobs = -1;  // -1: no log-probability wanted
  int32_t position = 0;
  int32_t scratch = -1;     // whose counts the penalties look at
  int32_t mask = -1;
  int32_t bias_begin = 0;   // into bias_ids
  int32_t bias_end = 0;
  int32_t reserved = 0;
};

// What the first pass knows of a chunk.
struct SampleSummary {
  double exp_sum;      // of exp(logit - max), where a log-probability is wanted
  float max;           // the largest logit: -inf when none is allowed
  int32_t max_id;      // the lowest id that has it
  int32_t draw_id;     // the best token by (logit - max) / temperature + Gumbel noise
  float draw_logit;
  int32_t bad;         // a NaN or +inf was seen
  int32_t reserved;
};

// What several shards tell each other of their parts of the vocabulary. Every shard has room for the summaries of all, and
// for each row a count of arrivals from each: 0 between two draws. Whoever draws a second time has in between received
// something of every other shard that was sent after the first: there is a sum over shards (exchange.h) in every layer.
struct SampleExchange {
  SampleSummary* summaries[kExchangeShardsMax] = {};  // of each shard: [K][chunks]
  uint32_t* arrivals[kExchangeShardsMax] = {};        // of each shard: [K][shards]
  uint32_t expected[kExchangeShardsMax] = {};         // of each shard: the chunks of its words
  int32_t shard = 0;
  int32_t shards = 1;
  uint32_t* state = nullptr;                          // as in Exchange
  uint64_t patience_nanos = 0;
};

struct SampleArgs {
  Product logits;                         // [K, V padded]; looked at again for rows that are truncated
  int32_t vocab = 0;
  int32_t chunks = 0;                     // of a row
  const SampleRow* rows = nullptr;        // [K]
  const uint32_t* counts = nullptr;       // [scratch][vocab]: times in the output; bit 31: in the prompt
  const uint32_t* mask_bits = nullptr;    // [mask][ceil(V / 32)]
  const int32_t* bias_ids = nullptr;
  const float* bias_values = nullptr;
  SampleSummary* summaries = nullptr;     // [K][chunks]
  SampleExchange exchange;                // of several shards that each scan a part
  int32_t* ids = nullptr;                 // [K]  -1: nothing can be drawn
  float* logprobs = nullptr;              // [K]  NaN where none was wanted
  int32_t* top_ids = nullptr;             // [K][kTopLogprobsMax] best first; -1 behind the last
  float* top_logprobs = nullptr;
};

// The words that a scan looks at.
struct SampleWords {
  Product logits;     // [K, count padded]; partial 0 becomes the final logits
  int32_t first = 0;  // a multiple of 32
  int32_t count = 0;
  int32_t chunk = 0;  // the number of its first chunk
};

constexpr int32_t SampleChunks(int32_t words) { return (words + kSampleChunk - 1) / kSampleChunk; }
inline bool IsTruncated(const SampleRow& row) {
  return row.temperature != 0 && (row.top_k > 0 || row.top_p < 1 || row.min_p > 0);
}

// Two passes: every word is in one scan, then tokens are drawn. truncated: some row is truncated or wants the best tokens'
// log-probabilities, so that the final logits are wanted.
void SampleScan(Launcher& launcher, int32_t rows, bool truncated, const SampleArgs& args, const SampleWords& words);
void SampleFinish(Launcher& launcher, int32_t rows, const SampleArgs& args);
// Both, of the whole vocabulary.
void Sample(Launcher& launcher, int32_t rows, bool truncated, SampleArgs args);

// counts[scratch of the row's sequence][token] for every row of the step; see SampleArgs::counts.
struct CountArgs {
  const int32_t* token_ids = nullptr;    // [T]  -(k+1): drawn[k]
  const int32_t* drawn = nullptr;
  const int32_t* positions = nullptr;    // [T]
  const int32_t* sequence = nullptr;     // [T]
  const int32_t* prompt = nullptr;       // [S]
  const int32_t* scratch = nullptr;      // [S]
  uint32_t* counts = nullptr;
  int32_t vocab = 0;
};
void CountTokens(Launcher& launcher, int32_t rows, const CountArgs& args);

}  // namespace chorale::cuda
