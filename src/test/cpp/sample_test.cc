// Sampling against its definition, written down a second time in double and without any shortcut.
#include "backend/cpu/cpu_sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "base/philox.h"

namespace chorale {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> RandomLogits(int32_t vocab, float spread, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

struct Sampled {
  Draw draw;
  std::vector<int32_t> top_ids;
  std::vector<float> top_logprobs;
};

Sampled SampleOnce(std::vector<float> logits, SampleInput input, Sampler& sampler) {
  Sampled sampled;
  sampled.top_ids.resize(std::max(input.params.top_logprobs, 0));
  sampled.top_logprobs.resize(sampled.top_ids.size());
  input.logits = logits;
  sampled.draw = sampler.Sample(input, sampled.top_ids, sampled.top_logprobs);
  sampled.top_ids.resize(sampled.draw.top_count);
  sampled.top_logprobs.resize(sampled.draw.top_count);
  return sampled;
}

int32_t DrawId(const std::vector<float>& logits, const SampleParams& params, int32_t position) {
  Sampler sampler;
  return SampleOnce(logits, {.params = params, .position = position}, sampler).draw.id;
}

// What the definition leaves to be drawn, and with which probability.
std::map<int32_t, double> Distribution(const std::vector<float>& logits, const SampleParams& params) {
  std::vector<int32_t> ranked(logits.size());
  std::iota(ranked.begin(), ranked.end(), 0);
  std::stable_sort(ranked.begin(), ranked.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  auto weight = [&](int32_t id) {
    return std::exp((static_cast<double>(logits[id]) - static_cast<double>(logits[ranked[0]])) /
                    static_cast<double>(params.temperature));
  };
  if (params.min_p > 0) {
    std::erase_if(ranked, [&](int32_t id) { return weight(id) < static_cast<double>(params.min_p); });
  }
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < ranked.size()) ranked.resize(params.top_k);
  double total = 0;
  for (int32_t id : ranked) total += weight(id);
  if (params.top_p < 1) {
    double reached = 0;
    size_t kept = 0;
    while (kept < ranked.size() && reached < static_cast<double>(params.top_p) * total) {
      reached += weight(ranked[kept++]);
    }
    ranked.resize(kept);
    total = reached;
  }
  std::map<int32_t, double> distribution;
  for (int32_t id : ranked) {
    if (weight(id) > 0) distribution[id] = weight(id) / total;
  }
  return distribution;
}

TEST(Philox, GivesThePublishedValues) {  // known answers of the authors' Random123
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(Philox4x32(0, {0, 0, 0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32(~uint64_t{0}, {~0u, ~0u, ~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Greedy, TakesTheBestAndOfEqualsTheLowest) {
  for (int32_t vocab = 1; vocab <= 70; ++vocab) {
    std::vector<float> logits = RandomLogits(vocab, 1, vocab);
    for (int32_t best = 0; best < vocab; ++best) {
      std::vector<float> peaked = logits;
      peaked[best] = 9;
      EXPECT_EQ(DrawId(peaked, {}, 0), best);
      peaked[vocab - 1] = 9;
      EXPECT_EQ(DrawId(peaked, {}, 0), best);
    }
  }
  EXPECT_EQ(DrawId({-kInf, -3, -kInf}, {}, 0), 1);
  EXPECT_EQ(DrawId({-0.0f, 0.0f}, {}, 0), 0);
}

TEST(Sampling, DrawsNothingFromWhatIsNoDistribution) {
  for (float temperature : {0.0f, 1.0f}) {
    for (int32_t at : {0, 15, 16, 33}) {
      for (float broken : {kNan, kInf}) {
        std::vector<float> logits = RandomLogits(34, 1, 1);
        logits[at] = broken;
        EXPECT_EQ(DrawId(logits, {.temperature = temperature}, 0), -1);
      }
    }
    EXPECT_EQ(DrawId(std::vector<float>(20, -kInf), {.temperature = temperature}, 0), -1);
  }
}

struct Truncation {
  const char* name;
  SampleParams params;
};

const Truncation kTruncations[] = {
    {"Plain", {.temperature = 1}},
    {"Hot", {.temperature = 2.5f}},
    {"Cold", {.temperature = 0.3f}},
    {"TopK", {.temperature = 1, .top_k = 5}},
    {"TopP", {.temperature = 0.8f, .top_p = 0.7f}},
    {"MinP", {.temperature = 1.2f, .min_p = 0.08f}},
    {"All", {.temperature = 1.1f, .top_k = 12, .top_p = 0.9f, .min_p = 0.02f}},
};

class Truncated : public ::testing::TestWithParam<Truncation> {};

// 300,000 draws, over positions of one seed and over seeds of one position.
TEST_P(Truncated, DrawsItsDistributionExactly) {
  constexpr int32_t kVocab = 37, kDraws = 300'000;
  std::vector<float> logits = RandomLogits(kVocab, 1.5f, 42);
  std::map<int32_t, double> expected = Distribution(logits, GetParam().params);
  Sampler sampler;
  for (bool over_seeds : {false, true}) {
    std::vector<int64_t> counts(kVocab);
    for (int32_t i = 0; i < kDraws; ++i) {
      SampleInput input{.params = GetParam().params, .position = over_seeds ? 3 : i};
      input.params.seed = over_seeds ? i : 77;
      ++counts[SampleOnce(logits, input, sampler).draw.id];
    }
    double chi_square = 0;
    double degrees = -1;
    double rare_expected = 0, rare_seen = 0;  // cells too small for the test, taken together
    for (int32_t id = 0; id < kVocab; ++id) {
      auto found = expected.find(id);
      if (found == expected.end()) {
        EXPECT_EQ(counts[id], 0) << "token " << id << " was cut off";
        continue;
      }
      double wanted = found->second * kDraws;
      auto seen = static_cast<double>(counts[id]);
      if (wanted < 10) {
        rare_expected += wanted, rare_seen += seen;
        continue;
      }
      EXPECT_GT(counts[id], 0) << "token " << id << " was not cut off";
      chi_square += (seen - wanted) * (seen - wanted) / wanted;
      ++degrees;
    }
    if (rare_expected > 0) {
      chi_square += (rare_seen - rare_expected) * (rare_seen - rare_expected) / rare_expected;
      ++degrees;
    }
    EXPECT_LT(chi_square, degrees + 5 * std::sqrt(2 * degrees) + 5);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Truncated, ::testing::ValuesIn(kTruncations),
                         [](const auto& info) { return info.param.name; });

// Each single draw is the Gumbel maximum over the support, found without passing any token over.
TEST(Sampling, IsGumbelMaxOverTheSupport) {
  std::mt19937_64 random(5);
  Sampler sampler;
  for (int round = 0; round < 20'000; ++round) {
    auto vocab = static_cast<int32_t>(1 + random() % 200);
    std::vector<float> logits = RandomLogits(vocab, static_cast<float>(random() % 8), random());
    SampleParams params{.temperature = 0.1f + static_cast<float>(random() % 30) / 10};
    params.seed = static_cast<int64_t>(random());
    if (random() % 2 == 0) params.top_k = static_cast<int32_t>(random() % 20);
    if (random() % 2 == 0) params.top_p = static_cast<float>(1 + random() % 999) / 1000;
    if (random() % 2 == 0) params.min_p = static_cast<float>(random() % 1000) / 1000;
    auto position = static_cast<int32_t>(random() % 100'000);

    std::map<int32_t, double> support = Distribution(logits, params);
    float max = *std::max_element(logits.begin(), logits.end());
    int32_t best = -1;
    double best_value = -std::numeric_limits<double>::infinity();
    for (auto [id, probability] : support) {
      auto lanes = Philox4x32(static_cast<uint64_t>(params.seed),
                              {static_cast<uint32_t>(position), static_cast<uint32_t>(id) / 4, 0, 0});
      double u = (static_cast<double>(lanes[id % 4]) + 0.5) / 4294967296.0;
      double value = static_cast<double>((logits[id] - max) / params.temperature) - std::log(-std::log(u));
      if (value > best_value) best_value = value, best = id;
    }
    Sampled sampled = SampleOnce(logits, {.params = params, .position = position}, sampler);
    ASSERT_EQ(sampled.draw.id, best) << "round " << round;
  }
}

TEST(Sampling, TopKOfEqualLogitsKeepsTheLowestIds) {
  std::vector<float> logits(40, 1.0f);
  std::vector<bool> seen(40);
  for (int32_t i = 0; i < 2000; ++i) seen[DrawId(logits, {.temperature = 1, .top_k = 3}, i)] = true;
  for (int32_t id = 0; id < 40; ++id) EXPECT_EQ(seen[id], id < 3) << id;
}

TEST(Sampling, TopPOfEqualLogitsKeepsTheShortestPrefix) {
  std::vector<float> logits(1000, -2.0f);  // long enough to be ranked in several pieces
  std::vector<bool> seen(1000);
  for (int32_t i = 0; i < 20'000; ++i) seen[DrawId(logits, {.temperature = 1, .top_p = 0.5f}, i)] = true;
  for (int32_t id = 0; id < 1000; ++id) EXPECT_EQ(seen[id], id < 500) << id;
}

TEST(Sampling, KeepsTheBestUnderEveryTruncation) {
  std::vector<float> logits = RandomLogits(50, 1, 9);
  int32_t best = DrawId(logits, {}, 0);
  for (int32_t i = 0; i < 200; ++i) {
    EXPECT_EQ(DrawId(logits, {.temperature = 5, .top_k = 1}, i), best);
    EXPECT_EQ(DrawId(logits, {.temperature = 5, .top_p = 1e-9f}, i), best);
    EXPECT_EQ(DrawId(logits, {.temperature = 5, .min_p = 1}, i), best);
    EXPECT_EQ(DrawId(logits, {.temperature = std::numeric_limits<float>::denorm_min()}, i), best);
  }
}

TEST(Sampling, DependsOnSeedPositionAndNothingElse) {
  std::vector<float> logits = RandomLogits(500, 1, 3);
  std::vector<float> others = RandomLogits(900, 3, 4);
  SampleParams params{.temperature = 1, .seed = -5, .top_logprobs = 4};
  Sampler fresh;
  Sampled alone = SampleOnce(logits, {.params = params, .position = 11}, fresh);
  Sampler used;
  for (int32_t i = 0; i < 20; ++i) {  // other rows before it, of another vocabulary too
    SampleOnce(others, {.params = {.temperature = 2, .top_k = 7, .top_p = 0.9f}, .position = i}, used);
    Sampled again = SampleOnce(logits, {.params = params, .position = 11}, used);
    EXPECT_EQ(again.draw.id, alone.draw.id);
    EXPECT_EQ(again.draw.logprob, alone.draw.logprob);
    EXPECT_EQ(again.top_ids, alone.top_ids);
    EXPECT_EQ(again.top_logprobs, alone.top_logprobs);
  }
  // Neighbouring seeds, seeds that differ in the high half only, and neighbouring positions draw other tokens.
  int32_t same_seed = 0, same_high = 0, same_position = 0;
  for (int32_t i = 0; i < 300; ++i) {
    SampleParams low{.temperature = 1, .seed = i}, next{.temperature = 1, .seed = i + 1};
    SampleParams high{.temperature = 1, .seed = i + (int64_t{1} << 32)};
    same_seed += DrawId(logits, low, 0) == DrawId(logits, next, 0);
    same_high += DrawId(logits, low, 0) == DrawId(logits, high, 0);
    same_position += DrawId(logits, low, i) == DrawId(logits, low, i + 1);
  }
  EXPECT_LT(same_seed, 15);
  EXPECT_LT(same_high, 15);
  EXPECT_LT(same_position, 15);
}

// The base logits that Sample leaves behind.
std::vector<float> BaseLogits(std::vector<float> logits, SampleInput input) {
  Sampler sampler;
  input.logits = logits;
  sampler.Sample(input, {}, {});
  return logits;
}

TEST(Penalties, AreWhatOneComputesByHand) {
  TokenCounts counts(6);
  for (int32_t token : {0, 1, 1}) counts.AddPrompt(token);
  for (int32_t token : {1, 2, 2, 2, 3}) counts.AddOutput(token);
  std::vector<float> logits = {4, -3, 2, -1, 5, 0.5f};
  SampleInput input{.params = {.repetition = 2, .presence = 0.5f, .frequency = 0.25f}, .counts = &counts};
  EXPECT_EQ(BaseLogits(logits, input), (std::vector<float>{2, -6 - 0.5f - 0.25f, 1 - 0.5f - 0.75f, -2 - 0.75f, 5, 0.5f}));
  input.params = {.repetition = 1, .presence = 1};
  EXPECT_EQ(BaseLogits(logits, input), (std::vector<float>{4, -4, 1, -2, 5, 0.5f})) << "the prompt has no presence";
  input.params = {.frequency = -2};
  EXPECT_EQ(BaseLogits(logits, input), (std::vector<float>{4, -1, 8, 1, 5, 0.5f}));
  input.params = {};
  EXPECT_EQ(BaseLogits(logits, input), logits);
  counts.Reset();
  input.params = {.repetition = 3, .presence = 1, .frequency = 1};
  EXPECT_EQ(BaseLogits(logits, input), logits);
  EXPECT_TRUE(counts.tokens().empty());
}

TEST(Penalties, CountsStopAtTheirMost) {
  TokenCounts counts(40);
  for (int32_t i = 0; i < 70'000; ++i) counts.AddOutput(39);
  EXPECT_EQ(counts.output(39), 65'535);
  EXPECT_EQ(counts.tokens().size(), 1u);
  counts.Reset();
  EXPECT_EQ(counts.output(39), 0);
  counts.AddPrompt(38);
  EXPECT_EQ(counts.tokens().size(), 1u);
}

TEST(BiasAndMask, ComeAfterPenaltiesAndForbid) {
  TokenCounts counts(4);
  counts.AddOutput(1);
  const std::vector<int32_t> ids = {1, 3, 3};
  const std::vector<float> values = {10, -kInf, 4};
  const std::vector<uint32_t> mask = {0b1011};
  SampleInput input{.params = {.repetition = 2, .top_logprobs = -1}, .counts = &counts};
  input.bias_ids = ids;
  input.bias_values = values;
  input.mask = mask;
  EXPECT_EQ(BaseLogits({1, 2, 3, 4}, input), (std::vector<float>{1, 11, -kInf, -kInf}));
}

TEST(Logprobs, AreOfTheDistributionBeforeTemperature) {
  std::mt19937_64 random(8);
  Sampler sampler;
  for (int round = 0; round < 300; ++round) {
    auto vocab = static_cast<int32_t>(3 + random() % 400);
    std::vector<float> logits = RandomLogits(vocab, 3, random());
    logits[1] = -kInf;
    SampleInput input{.params = {.temperature = static_cast<float>(round % 3), .top_k = round % 5, .top_logprobs = 8},
                      .position = round};
    Sampled sampled = SampleOnce(logits, input, sampler);

    double sum = 0;
    for (float logit : logits) sum += std::exp(static_cast<double>(logit));
    auto logprob = [&](int32_t id) { return static_cast<double>(logits[id]) - std::log(sum); };
    EXPECT_NEAR(static_cast<double>(sampled.draw.logprob), logprob(sampled.draw.id), 2e-6);
    std::vector<int32_t> ranked(vocab);
    std::iota(ranked.begin(), ranked.end(), 0);
    std::stable_sort(ranked.begin(), ranked.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    ranked.resize(std::min(vocab - 1, 8));  // the token that is forbidden is never listed
    EXPECT_EQ(sampled.top_ids, ranked);
    for (size_t i = 0; i < ranked.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(sampled.top_logprobs[i]), logprob(ranked[i]), 2e-6);
    }
  }
}

TEST(Logprobs, AreNotGivenWhenNotWanted) {
  Sampler sampler;
  Sampled none = SampleOnce({1, 2, 3}, {.params = {.top_logprobs = -1}}, sampler);
  EXPECT_TRUE(std::isnan(none.draw.logprob));
  EXPECT_EQ(none.draw.top_count, 0);
  Sampled only_drawn = SampleOnce({1, 2, 3}, {.params = {.top_logprobs = 0}}, sampler);
  EXPECT_NEAR(only_drawn.draw.logprob, -0.407606f, 1e-6f);
  EXPECT_EQ(only_drawn.draw.top_count, 0);
  Sampled ties = SampleOnce({2, 5, 2, 5}, {.params = {.top_logprobs = 4}}, sampler);
  EXPECT_EQ(ties.top_ids, (std::vector<int32_t>{1, 3, 0, 2}));
}

}  // namespace
}  // namespace chorale
