// A model on several GPUs is the model on one: what it says, and where LoRA adds to it or is merged into it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/shard_cases.h"

namespace chorale {
namespace {

// Each share of a sum is rounded to 8 bits, as any input of a linear is; where the best two are further apart than the
// noise of the logits, the same token is drawn.
TEST_F(CudaShardTest, LogitsAndTokensAreThoseOfOneGpu) {
  const auto ask = [](EngineHarness& harness) {
    std::vector<Generation> all;
    for (int32_t i = 0; i < 6; ++i) {
      all.push_back({.prompt = harness.Prompt(5 + 17 * i, i), .slot = i % 3 - 1, .pages = PagesOf(harness, i, 150)});
    }
    Generate(harness, all, 1, harness.engine().shards() == 1 ? 1000 : 40);
    return all;
  };
  CompareWithOneGpu(ask, [](const std::vector<Generation>& got, const std::vector<Generation>& want) {
    for (size_t i = 0; i < want.size(); ++i) {
      const std::vector<float>&w = want[i].logits[0], &g = got[i].logits[0];
      const double error = RelativeError(g, w);
      EXPECT_LT(error, 2e-2) << "prompt " << i;
      std::vector<float> sorted = w;
      std::sort(sorted.rbegin(), sorted.rend());
      double squares = 0;
      for (const float value : w) squares += static_cast<double>(value) * value;
      if (sorted[0] - sorted[1] > 4 * error * std::sqrt(squares / static_cast<double>(w.size()))) {
        EXPECT_EQ(got[i].tokens.back(), want[i].tokens.back()) << "prompt " << i;
      }
    }
  });
}

TEST_F(CudaShardTest, AllFormsOfAdaptersAreThoseOfOneGpu) {
  const auto ask = [](EngineHarness& harness) {
    LoadForms(harness);
    std::vector<Generation> all;
    for (int32_t slot = -1; slot < kFormedSlots; ++slot) {
      all.push_back({.prompt = harness.Prompt(22 + 17 * slot, slot + 1), .slot = slot, .pages = PagesOf(harness, slot + 1, 150)});
    }
    Generate(harness, all, 1, 40);
    return all;
  };
  CompareWithOneGpu(ask, [](const std::vector<Generation>& got, const std::vector<Generation>& want) {
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_LT(RelativeError(got[i].logits[0], want[i].logits[0]), 2e-2) << "slot " << static_cast<int32_t>(i) - 1;
    }
  });
}

// The sum that the norm makes while nobody looks, and the one that is made to be looked at, are the same.
TEST_F(CudaShardTest, LookingChangesNothing) {
  for (const Cut& cut : Cuts(false)) {
    SCOPED_TRACE(cut.Name());
    auto harness = Make(cut.model, cut.shards, false);
    const Played plain = Play(*harness, 4, 3);
    auto looked = Make(cut.model, cut.shards, false);
    Generation g;
    g.prompt = looked->Prompt(9, 0);
    g.pages = PagesOf(*looked, 0, 40);
    std::vector<Generation*> one = {&g};
    looked->Generate(one, 1);
    EXPECT_EQ(g.tokens.back(), plain.tokens[0]);
  }
}

TEST_F(CudaShardTest, MergesAsOneGpuDoes) {
  for (const auto& [way, scheme] : {std::pair{"shadow", "replicate"}, {"in_place", "replicate"}, {"shadow", "sharded"},
                                    {"in_place", "sharded"}}) {
    SCOPED_TRACE(std::string(way) + ", " + scheme);
    std::vector<std::vector<float>> logits;
    for (const int32_t shards : {1, 2, 4}) {
      if (shards > gpus_) continue;
      EngineConfig config = Config(shards, scheme);
      config.merge = way;
      config.poison = 1;
      auto harness = Bare(ShardCases()[0], config);
      harness->Load(0, RandomAdapter(harness->spec(), 5, [](int32_t, Target t) { return 4 + t; }), 0);
      const int64_t before = harness->engine().WeightsDigest().value();
      StepBuilder merge, unmerge;
      harness->Run(merge.Merge(0, 1.0f));
      Generation g;
      g.prompt = harness->Prompt(30, 1);
      g.pages = PagesOf(*harness, 0, 40);
      std::vector<Generation*> one = {&g};
      harness->Generate(one, 1, 1000, 0);
      logits.push_back(g.logits[0]);
      harness->Run(unmerge.Unmerge());
      EXPECT_EQ(harness->engine().WeightsDigest().value(), before);
    }
    for (const std::vector<float>& several : logits) EXPECT_LT(RelativeError(several, logits[0]), 2e-2);
  }
}

}  // namespace
}  // namespace chorale
