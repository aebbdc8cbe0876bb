#include "backend/cpu/cpu_sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/philox.h"

namespace chorale {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Best {
  float logit;
  int32_t id;  // -1: nothing finite, or something that is no number
};

// The best logit, ties to the lowest id. Lanes that do not depend on each other let the compiler use vectors.
Best FindBest(std::span<const float> logits) {
  constexpr size_t kLanes = 16;
  float lane_max[kLanes];
  int32_t lane_bad[kLanes] = {};
  std::fill_n(lane_max, kLanes, kNever);
  auto take = [&](size_t lane, float logit) {
    lane_max[lane] = logit > lane_max[lane] ? logit : lane_max[lane];
    lane_bad[lane] |= logit < std::numeric_limits<float>::infinity() ? 0 : 1;  // +inf and NaN
  };
  size_t whole = logits.size() / kLanes * kLanes;
  for (size_t at = 0; at < whole; at += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) take(lane, logits[at + lane]);
  }
  for (size_t at = whole; at < logits.size(); ++at) take(at - whole, logits[at]);

  float max = *std::max_element(lane_max, lane_max + kLanes);
  bool bad = std::any_of(lane_bad, lane_bad + kLanes, [](int32_t lane) { return lane != 0; });
  if (bad || max == kNever) return {kNever, -1};
  auto first = std::find(logits.begin(), logits.end(), max);
  return {max, static_cast<int32_t>(first - logits.begin())};
}

void ApplyPenalties(std::span<float> logits, const SampleParams& params, const TokenCounts& counts) {
  for (int32_t token : counts.tokens()) {
    float logit = logits[token];
    if (params.repetition != 1) logit = logit > 0 ? logit / params.repetition : logit * params.repetition;
    if (uint16_t count = counts.output(token); count > 0) {
      logit = (logit - params.presence) - params.frequency * static_cast<float>(count);
    }
    logits[token] = logit;
  }
}

void ApplyMask(std::span<float> logits, std::span<const uint32_t> mask) {
  for (size_t token = 0; token < logits.size(); ++token) {
    if ((mask[token / 32] >> (token % 32) & 1) == 0) logits[token] = kNever;
  }
}

// log(sum exp(l)), in order of token id.
double LogSumExp(std::span<const float> logits, float max) {
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - static_cast<double>(max));
  return static_cast<double>(max) + std::log(sum);
}

// The order in which tokens rank: best logit first, equal ones by id.
struct ByRank {
  std::span<const float> logits;
  bool operator()(int32_t a, int32_t b) const {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  }
};

}  // namespace

void TokenCounts::AddPrompt(int32_t token) {
  uint32_t bit = uint32_t{1} << (token % 32);
  if ((seen_[token / 32] & bit) != 0) return;
  seen_[token / 32] |= bit;
  tokens_.push_back(token);
}

void TokenCounts::AddOutput(int32_t token) {
  AddPrompt(token);
  if (output_[token] < std::numeric_limits<uint16_t>::max()) ++output_[token];
}

void TokenCounts::Reset() {
  for (int32_t token : tokens_) {
    seen_[token / 32] = 0;
    output_[token] = 0;
  }
  tokens_.clear();
}

Draw Sampler::Sample(const SampleInput& input, std::span<int32_t> top_ids, std::span<float> top_logprobs) {
  std::span<float> logits = input.logits;
  const SampleParams& params = input.params;
  if (input.counts != nullptr && params.HasPenalties()) ApplyPenalties(logits, params, *input.counts);
  for (size_t i = 0; i < input.bias_ids.size(); ++i) logits[input.bias_ids[i]] += input.bias_values[i];
  if (!input.mask.empty()) ApplyMask(logits, input.mask);

  Best best = FindBest(logits);
  Draw draw;
  if (best.id < 0) return draw;
  draw.id = params.temperature == 0 ? best.id : DrawToken(logits, best.logit, params, input.position);
  draw.logprob = std::numeric_limits<float>::quiet_NaN();
  if (params.top_logprobs >= 0) {
    double log_sum = LogSumExp(logits, best.logit);
    auto logprob = [&](int32_t id) { return static_cast<float>(static_cast<double>(logits[id]) - log_sum); };
    draw.logprob = logprob(draw.id);
    RankBest(logits, params.top_logprobs);
    draw.top_count = static_cast<int32_t>(ranked_.size());
    for (int32_t i = 0; i < draw.top_count; ++i) {
      top_ids[i] = ranked_[i];
      top_logprobs[i] = logprob(ranked_[i]);
    }
  }
  return draw;
}

void Sampler::RankBest(std::span<const float> logits, int32_t count) {
  ranked_.clear();
  if (count == 0) return;
  for (size_t token = 0; token < logits.size(); ++token) {
    if (logits[token] > kNever) ranked_.push_back(static_cast<int32_t>(token));
  }
  size_t kept = std::min(ranked_.size(), static_cast<size_t>(count));
  std::partial_sort(ranked_.begin(), ranked_.begin() + kept, ranked_.end(), ByRank{logits});
  ranked_.resize(kept);
}

int32_t Sampler::DrawToken(std::span<const float> logits, float max, const SampleParams& params, int32_t position) {
  scaled_.resize(logits.size());
  for (size_t token = 0; token < logits.size(); ++token) scaled_[token] = (logits[token] - max) / params.temperature;

  float least = params.min_p > 0 ? static_cast<float>(std::log(static_cast<double>(params.min_p)))
                                 : std::numeric_limits<float>::lowest();
  candidates_.clear();
  for (size_t token = 0; token < scaled_.size(); ++token) {
    if (scaled_[token] >= least) candidates_.push_back(static_cast<int32_t>(token));
  }
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < candidates_.size()) KeepTopK(params.top_k);
  if (params.top_p < 1) KeepTopP(params.top_p);
  return DrawGumbel(static_cast<uint64_t>(params.seed), static_cast<uint32_t>(position));
}

// Both keep candidates_ in order of id.
void Sampler::KeepTopK(int32_t k) {
  ranked_ = candidates_;
  std::nth_element(ranked_.begin(), ranked_.begin() + (k - 1), ranked_.end(), ByRank{scaled_});
  KeepUpTo(ranked_[k - 1]);
}

void Sampler::KeepTopP(float top_p) {
  auto mass = [this](int32_t token) { return std::exp(static_cast<double>(scaled_[token])); };
  double total = 0;
  for (int32_t token : candidates_) total += mass(token);
  double wanted = static_cast<double>(top_p) * total;

  // Ranked piece by piece, since the prefix is short as a rule.
  ranked_ = candidates_;
  double reached = 0;
  size_t sorted = 0;
  size_t last = 0;
  for (size_t at = 0; at < ranked_.size() && reached < wanted; ++at) {
    if (at == sorted) {
      sorted = std::min(ranked_.size(), std::max<size_t>(64, 4 * sorted));
      auto piece_end = ranked_.begin() + static_cast<int64_t>(sorted);
      if (piece_end != ranked_.end()) std::nth_element(ranked_.begin() + at, piece_end, ranked_.end(), ByRank{scaled_});
      std::sort(ranked_.begin() + at, piece_end, ByRank{scaled_});
    }
    reached += mass(ranked_[at]);
    last = at;
  }
  KeepUpTo(ranked_[last]);
}

void Sampler::KeepUpTo(int32_t worst) {
  ByRank before{scaled_};
  std::erase_if(candidates_, [&](int32_t token) { return before(worst, token); });
}

int32_t Sampler::DrawGumbel(uint64_t seed, uint32_t position) const {
  constexpr double kUnit = 1.0 / 4294967296.0;
  constexpr double kGumbelMax = 22.9;  // above -log(-log(1 - 2^-33)), the most that 32 bits can draw
  int32_t best_id = -1;
  double best_value = -std::numeric_limits<double>::infinity();
  uint32_t block_index = 0;
  std::array<uint32_t, 4> block{};
  bool has_block = false;
  auto visit = [&](int32_t token) {
    // What g must reach for this token to win. Most tokens are passed over without a logarithm: for d > 0,
    // g >= d implies 1 - u <= -log(u) <= exp(-d) <= 1 / (1 + d + d^2/2 + d^3/6).
    double d = best_value - static_cast<double>(scaled_[token]);
    if (d > kGumbelMax) return;
    auto index = static_cast<uint32_t>(token) / 4;
    if (!has_block || index != block_index) {
      block = Philox4x32(seed, {position, index, 0, 0});
      block_index = index;
      has_block = true;
    }
    double u = (static_cast<double>(block[token % 4]) + 0.5) * kUnit;
    if (d > 0 && (1 - u) * (1 + d * (1 + d * (0.5 + d / 6))) > 1 + 1e-9) return;
    double value = static_cast<double>(scaled_[token]) - std::log(-std::log(u));
    if (value > best_value || (value == best_value && token < best_id)) {
      best_value = value;
      best_id = token;
    }
  };
  // The likeliest token goes first, so that most others can be passed over.
  visit(*std::find_if(candidates_.begin(), candidates_.end(), [this](int32_t token) { return scaled_[token] == 0; }));
  for (int32_t token : candidates_) visit(token);
  return best_id;
}

}  // namespace chorale
