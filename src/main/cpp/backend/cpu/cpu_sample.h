// Sampling of one row: the specification that every backend follows.
//
// A draw is a pure function of the row's logits, its parameters and its position: neither the batch nor the order in
// which rows are drawn matters. In this order, in float unless said otherwise, each operation rounded on its own (no
// contraction):
//   1 repetition  tokens of prompt or output: l > 0 ? l / r : l * r
//   2 presence, frequency  tokens of the output: (l - presence) - frequency * count
//   3 bias        added in the order given
//   4 mask        tokens that are not allowed become -inf
//     Here the base distribution is taken: logprob = l - log(sum exp(l)), in double, terms in order of token id.
//   5 greedy (temperature 0)  the best logit, ties to the lowest id. Otherwise
//   6 temperature l = (l - max) / temperature: the best becomes 0, and nothing overflows
//   7 min-p       keep l >= log(min_p), computed in double and rounded once
//   8 top-k       keep the k best; equal logits rank by id, lower first
//   9 top-p       of what is left, in that ranking, keep the shortest prefix whose mass reaches p times the mass of all
//                 (exp in double; all summed in order of id, the prefix in order of rank)
//  10 draw        Gumbel-max over what is left: l + g in double, ties to the lowest id. g = -log(-log(u)),
//                 u = (r + 1/2) / 2^32, r = lane token % 4 of Philox4x32-10, key = seed,
//                 counter = (position, token / 4, 0, 0). u is never 0 or 1.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "step/sample_params.h"

namespace chorale {

// The tokens that one sequence has been fed: what penalties look at.
class TokenCounts {
 public:
  explicit TokenCounts(int32_t vocab) : seen_((vocab + 31) / 32), output_(vocab) {}

  void AddPrompt(int32_t token);
  void AddOutput(int32_t token);
  void Reset();

  std::span<const int32_t> tokens() const { return tokens_; }         // distinct tokens, in order of first sight
  uint16_t output(int32_t token) const { return output_[token]; }     // stops at 65,535

 private:
  std::vector<uint32_t> seen_;    // [ceil(V/32)] bit: in prompt or output
  std::vector<uint16_t> output_;  // [V]
  std::vector<int32_t> tokens_;
};

// One row to sample. Empty spans and null counts mean: none.
struct SampleInput {
  std::span<float> logits = {};  // [V], becomes the base logits (after step 4)
  SampleParams params;
  int32_t position = 0;          // of the row whose logits these are
  const TokenCounts* counts = nullptr;
  std::span<const int32_t> bias_ids = {};
  std::span<const float> bias_values = {};
  std::span<const uint32_t> mask = {};  // [ceil(V/32)]
};

struct Draw {
  int32_t id = -1;         // -1: no token has a finite logit, or one is NaN or +inf; then nothing else is set
  float logprob = 0;       // NaN when none was wanted
  int32_t top_count = 0;   // at most top_logprobs; fewer when fewer tokens are allowed
};

// Memory for sampling, reused from row to row; one a thread.
class Sampler {
 public:
  // top_ids and top_logprobs have room for params.top_logprobs entries: best first, ties by lower id.
  Draw Sample(const SampleInput& input, std::span<int32_t> top_ids, std::span<float> top_logprobs);

 private:
  void RankBest(std::span<const float> logits, int32_t count);
  int32_t DrawToken(std::span<const float> logits, float max, const SampleParams& params, int32_t position);
  void KeepTopK(int32_t k);
  void KeepTopP(float top_p);
  void KeepUpTo(int32_t worst);
  int32_t DrawGumbel(uint64_t seed, uint32_t position) const;

  std::vector<float> scaled_;        // [V] (l - max) / temperature
  std::vector<int32_t> candidates_;  // tokens that may still be drawn, in order of id
  std::vector<int32_t> ranked_;
};

}  // namespace chorale
