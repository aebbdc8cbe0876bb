// Steps of a model on several GPUs: replayed they are those that were launched, each token is drawn where its logits are, and
// the GPUs tell each other no more than the scheme asks for.
#include <gtest/gtest.h>

#include <vector>

#include "cuda/shard_cases.h"

namespace chorale {
namespace {

TEST_F(CudaShardTest, ReplayedStepsAreThoseThatWereLaunched) {
  for (const Cut& cut : Cuts()) {
    SCOPED_TRACE(cut.Name());
    auto eager = Make(cut.model, cut.shards, false, cut.scheme), replayed = Make(cut.model, cut.shards, true, cut.scheme);
    for (const int32_t sequences : {1, 5, 21}) {
      SCOPED_TRACE(sequences);
      const Played want = Play(*eager, sequences, 12), got = Play(*replayed, sequences, 12);
      EXPECT_EQ(want.tokens, got.tokens);
      EXPECT_TRUE(SameBits(want.logprobs, got.logprobs));
      EXPECT_EQ(want.pages, got.pages);
    }
    EXPECT_GT(replayed->engine().counters().graph_replays, 20);
  }
}

TEST_F(CudaShardTest, ReplayedStepsOfAllFormsAreThoseThatWereLaunched) {
  for (const std::string scheme : {"replicate", "sharded"}) {
    SCOPED_TRACE(scheme);
    std::vector<std::vector<float>> logprobs;
    for (const bool graphs : {false, true}) {
      auto harness = Make(ShardCases()[0], 2, graphs, scheme);
      LoadForms(*harness);
      harness->engine().SetObserver(nullptr);
      std::vector<float>& all = logprobs.emplace_back();
      for (int32_t t = 0; t < 9; ++t) {
        StepBuilder step;
        for (int32_t i = 0; i < 9; ++i) {
          const int32_t slot = (i + t) % (kFormedSlots + 1) - 1;
          step.Sequence({i + 3 * t}, t, PagesOf(*harness, i, t + 1), 1);
          if (slot < 0) step.Segment();
          if (slot >= 0) step.Segment({{slot, 1.0f}});
          step.Sample({.top_logprobs = 0});
        }
        const testing::ResultReader result = harness->Run(step);
        all.insert(all.end(), result.drawn_logprobs().begin(), result.drawn_logprobs().end());
      }
      EXPECT_GE(harness->engine().counters().graph_replays, graphs ? 5 : 0);
    }
    EXPECT_TRUE(SameBits(logprobs[0], logprobs[1]));
  }
}

// Each shard looks at its part of the vocabulary, or, since poison is looked for in all logits, at all of them.
TEST_F(CudaShardTest, PartsDrawWhatAllLogitsWould) {
  const SampleParams kinds[] = {{.top_logprobs = 0},
                                {.temperature = 1.0f, .top_logprobs = 0},
                                {.temperature = 0.8f, .top_k = 40, .top_logprobs = 3},
                                {.temperature = 1.2f, .top_p = 0.9f, .top_logprobs = 0},
                                {.temperature = 1.0f, .min_p = 0.05f, .top_logprobs = 0},
                                {.repetition = 1.4f, .presence = 0.3f, .frequency = 0.2f, .top_logprobs = 0},
                                {.temperature = 1.0f, .repetition = 0.7f, .top_logprobs = 0},
                                {.top_logprobs = 20}};
  constexpr int32_t kKinds = std::size(kinds), kPlain = 2, kPrompt = 7;
  for (int32_t shards = 2; shards <= gpus_; shards += 2) {
    SCOPED_TRACE(shards);
    Case c = ShardCases()[0];
    c.name = "many_words";
    c.spec.vocab = 20000;
    std::vector<Played> runs;
    for (const int32_t poison : {0, 1}) {
      EngineConfig config = Config(shards);
      config.poison = poison;
      auto harness = Bare(c, config);
      harness->engine().SetObserver(nullptr);
      Played& run = runs.emplace_back();
      for (int32_t t = 0; t < 10; ++t) {
        const int32_t count = t < 7 ? kKinds : kPlain;  // at the end no row needs all logits
        StepBuilder step;
        for (int32_t i = 0; i < count; ++i) {
          const std::vector<int32_t> ids = t == 0 ? harness->Prompt(kPrompt, i) : std::vector<int32_t>{-(i + 1)};
          step.Sequence(ids, t == 0 ? 0 : kPrompt + t - 1, PagesOf(*harness, i, kPrompt + t), kPrompt, i).Segment();
          SampleParams params = kinds[i];
          params.seed = 90 + i;
          step.Sample(params);
        }
        if (t == 0) {  // drawn from in its middle, where penalties must not see what follows
          step.Sequence(harness->Prompt(5, kKinds), 0, PagesOf(*harness, kKinds, 5), 3, kKinds).Segment();
          step.Sample(kinds[5], kKinds * kPrompt + 2).Sample(kinds[5]);
        }
        const testing::ResultReader result = harness->Run(step);
        EXPECT_EQ(result.header().status, CH_OK) << result.fault();
        run.tokens.insert(run.tokens.end(), result.drawn_ids().begin(), result.drawn_ids().end());
        run.logprobs.insert(run.logprobs.end(), result.drawn_logprobs().begin(), result.drawn_logprobs().end());
      }
    }
    EXPECT_EQ(runs[0].tokens, runs[1].tokens);
    EXPECT_TRUE(SameBits(runs[0].logprobs, runs[1].logprobs));
  }
}

TEST_F(CudaShardTest, CollectivesAreAsFewAsTheSchemeAllows) {
  for (const std::string scheme : {"replicate", "sharded"}) {
    SCOPED_TRACE(scheme);
    auto harness = Make(ShardCases()[0], 2, false, scheme);
    harness->engine().SetObserver(nullptr);
    const auto of_step = [&](int32_t sequence) {
      const CollectiveCounts before = harness->engine().engine(0).collectives();
      StepBuilder step;
      step.Sequence({5, 6, 7}, 0, PagesOf(*harness, 0, 3), 3);
      AddSegment(step, sequence);
      harness->Run(step.Sample());
      CollectiveCounts counts = harness->engine().engine(0).collectives();
      EXPECT_EQ(counts, harness->engine().engine(1).collectives());
      for (int32_t what = 0; what < kCollectives; ++what) counts[what] -= before[what];
      return counts;
    };
    const int32_t layers = harness->spec().layers, more = scheme == "sharded" ? 2 * layers : 0;
    EXPECT_EQ(of_step(0), (CollectiveCounts{2 * layers, 1, 0, 0, 0}));
    EXPECT_EQ(of_step(1), (CollectiveCounts{2 * layers, 1, more, more, 0}));
  }
}

}  // namespace
}  // namespace chorale
