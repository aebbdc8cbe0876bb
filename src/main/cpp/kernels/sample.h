// Sampling on the device: the specification is backend/cpu/cpu_sample.h, and the draws are the same.
#pragma once

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

struct SampleArgs {
  Product logits;                         // [K, V padded]; partial 0 becomes the final logits
  int32_t vocab = 0;
  const SampleRow* rows = nullptr;        // [K]
  const uint32_t* counts = nullptr;       // [scratch][vocab]: times in the output; bit 31: in the prompt
  const uint32_t* mask_bits = nullptr;    // [mask][ceil(V / 32)]
  const int32_t* bias_ids = nullptr;
  const float* bias_values = nullptr;
  SampleSummary* summaries = nullptr;     // [K][SampleChunks(vocab)]
  int32_t* ids = nullptr;                 // [K]  -1: nothing can be drawn
  float* logprobs = nullptr;              // [K]  NaN where none was wanted
  int32_t* top_ids = nullptr;             // [K][kTopLogprobsMax] best first; -1 behind the last
  float* top_logprobs = nullptr;
};

constexpr int32_t SampleChunks(int32_t vocab) { return (vocab + kSampleChunk - 1) / kSampleChunk; }
inline bool IsTruncated(const SampleRow& row) {
  return row.temperature != 0 && (row.top_k > 0 || row.top_p < 1 || row.min_p > 0);
}

// truncated: some row is truncated or wants the best tokens' log-probabilities.
void Sample(Launcher& launcher, int32_t rows, bool truncated, const SampleArgs& args);

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
