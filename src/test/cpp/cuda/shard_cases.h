// Models cut into shards, each on a GPU of its own, and what they answer: for tests. They need two GPUs that reach each
// other, skip themselves without, and take three and four where they are.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda/cuda_cases.h"
#include "shard/shard_cut.h"
#include "testing/adapter_forms.h"

namespace chorale {

using testing::SameBits;

inline constexpr int32_t kShardsMost = 4;
inline constexpr int32_t kFirstPage = 1200;  // of sequences; adapters are before

inline std::vector<Case> ShardCases() {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  std::vector<Case> cases = {
      {"gqa_128", {2, 512, 1280, 8, 2, 128, 999, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}, {}},
      {"wide", {2, 5120, 1024, 4, 2, 64, 500, 1024, 64, 0, 0, 0, 1e-5f, 1, 0.125f, 0}, {}},
      {"mha_128_window", {3, 256, 384, 2, 2, 128, 511, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}, {{}, {24, 0, 40}}},
      {"qk_norm_128", {2, 256, 512, 4, 2, 128, 640, 1024, 128, 1, 1, 0, 1e-6f, 1, 0.088388346f, 0}, {}},
      {"twelve_heads", {2, 384, 768, 12, 6, 32, 700, 1024, 32, 0, 0, 0, 1e-5f, 1, 0.17677669f, 0}, {}},
      {"fable", {3, 192, 512, 6, 2, 32, 2048, 1024, 32, 1, 0, 0, 1e-5f, 1, 0.17677669f, 0}, {}},
      {"all_biases", {2, 36, 52, 2, 1, 18, 61, 256, 12, 0, 0, 0, 1e-5f, 1, 0.23570226f, 0},
       {{kQ, kK, kV, kO, kGate, kUp, kDown}, {}}}};
  for (Case& c : cases) c.options.dtype = kBF16;
  return cases;
}

// A model, and how many shards make it up.
struct Cut {
  Case model;
  int32_t shards;
  std::string scheme;
  std::string Name() const { return Format("%s, %d shards, %s", model.name, shards, scheme.c_str()); }
};

// How many GPUs there are to share, up to kShardsMost; where there are not two, or one cannot be had, why.
struct Gpus {
  int32_t count = 1;
  std::string lack, failure;
};

// Divides by every such number, and by twelve.
inline constexpr ModelSpec kTwelveHeads{1, 96, 192, 12, 12, 8, 999, 1024, 8, 0, 0, 0, 1e-5f, 1, 0.35355338f, 0};

inline Gpus CountGpus(const EngineConfig& some) {
  Gpus gpus;
  for (; gpus.count < kShardsMost; ++gpus.count) {
    EngineConfig config = some;
    config.shards = gpus.count + 1;
    const Status status = TryToOpen(kTwelveHeads, config);
    if (status.ok()) continue;
    const bool lacks = status.message().find("no device") != std::string::npos ||
                       status.message().find(Format("this machine shows %d", gpus.count)) != std::string::npos;
    (lacks ? gpus.lack : gpus.failure) = status.message();
    break;
  }
  return gpus;
}

// What a run without anybody looking gives: draws, their log-probabilities, and the pages at the end.
struct Played {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<uint8_t> pages;
};

class CudaShardTest : public CudaPluginTest {
 protected:
  void SetUp() override {
    CudaPluginTest::SetUp();
    if (IsSkipped()) return;
    static const Gpus gpus = CountGpus({.backend = "cuda", .library_dir = directory_, .pool_bytes = 16 << 20});
    ASSERT_EQ(gpus.failure, "");
    if (gpus.count == 1) GTEST_SKIP() << gpus.lack;
    gpus_ = gpus.count;
    RecordProperty("gpus", gpus_);
  }

  // All that divide, over as many GPUs as there are.
  std::vector<Cut> Cuts(bool sharded_too = true) const {
    std::vector<Cut> cuts;
    for (const Case& c : ShardCases()) {
      for (int32_t shards = 2; shards <= gpus_; ++shards) {
        for (const auto& [name, scheme] :
             {std::pair{"replicate", LoraSharding::kReplicate}, {"sharded", LoraSharding::kSharded}}) {
          if (!CheckShards(c.spec, shards, scheme).ok()) continue;
          if (sharded_too || scheme == LoraSharding::kReplicate) cuts.push_back({c, shards, name});
        }
      }
    }
    return cuts;
  }

  EngineConfig Config(int32_t shards, const std::string& scheme = "replicate") const {
    return {.backend = "cuda",
            .library_dir = directory_,
            .pool_bytes = int64_t{512} << 20,
            .shards = shards,
            .lora_sharding = scheme};
  }
  static std::unique_ptr<EngineHarness> Bare(const Case& c, const EngineConfig& config) { return Open(c, 51, config); }
  // With two adapters in the pages before kFirstPage.
  std::unique_ptr<EngineHarness> Make(const Case& c, int32_t shards, bool graphs = true,
                                      const std::string& scheme = "replicate") const {
    EngineConfig config = Config(shards, scheme);
    config.graphs = graphs ? 1 : 0;
    auto harness = Bare(c, config);
    const StagedAdapter first = harness->Load(
        0, RandomAdapter(c.spec, 5, [](int32_t layer, Target t) { return 1 + (layer * 7 + t * 5) % 13; }), 0);
    const auto rank = [](int32_t layer, Target t) { return layer == 0 && t % 2 == 1 ? 0 : t == kQ ? 96 : 20; };
    const StagedAdapter second = harness->Load(1, RandomAdapter(c.spec, 6, rank), static_cast<int32_t>(first.pages));
    EXPECT_LE(first.pages + second.pages, kFirstPage);
    return harness;
  }

  static std::vector<int32_t> PagesOf(const EngineHarness& harness, int32_t sequence, int32_t tokens) {
    std::vector<int32_t> pages;
    for (int32_t at = 0; at < tokens; at += harness.page_tokens()) {
      pages.push_back(kFirstPage + sequence * 12 + static_cast<int32_t>(pages.size()));
    }
    return pages;
  }

  static void AddSegment(StepBuilder& step, int32_t sequence) {
    if (sequence % 3 == 0) step.Segment();
    if (sequence % 3 == 1) step.Segment({{0, 1.0f}});
    if (sequence % 3 == 2) step.Segment({{0, 0.5f}, {1, -1.0f}});
  }

  // Compares what every cut answers with what the model answers on one GPU, which is asked once.
  template <typename Ask, typename Compare>
  void CompareWithOneGpu(const Ask& ask, const Compare& compare) const {
    std::map<std::string, std::vector<Generation>> of_one;  // by model
    for (const Cut& cut : Cuts()) {
      SCOPED_TRACE(cut.Name());
      const auto [at, first] = of_one.try_emplace(cut.model.name);
      if (first) at->second = ask(*Make(cut.model, 1));
      compare(ask(*Make(cut.model, cut.shards, true, cut.scheme)), at->second);
    }
  }

  // Prompts in one step, then decode steps with two in flight, each fed what the one before drew.
  static Played Play(EngineHarness& harness, int32_t sequences, int32_t steps) {
    harness.engine().SetObserver(nullptr);
    Played run;
    const auto keep = [&](const testing::ResultReader& result) {
      EXPECT_EQ(result.header().status, CH_OK) << result.fault();
      run.tokens.insert(run.tokens.end(), result.drawn_ids().begin(), result.drawn_ids().end());
      run.logprobs.insert(run.logprobs.end(), result.drawn_logprobs().begin(), result.drawn_logprobs().end());
    };
    const auto length = [](int32_t sequence) { return 9 + 23 * (sequence % 5); };
    int32_t in_flight = 0;
    for (int32_t t = 0; t <= steps; ++t) {
      StepBuilder step;
      for (int32_t i = 0; i < sequences; ++i) {
        const int32_t prompt = length(i), position = t == 0 ? 0 : prompt + t - 1;
        const std::vector<int32_t> ids = t == 0 ? harness.Prompt(prompt, i) : std::vector<int32_t>{-(i + 1)};
        step.Sequence(ids, position, PagesOf(harness, i, prompt + t), prompt);
        AddSegment(step, i);
        step.Sample({.temperature = i % 2 == 0 ? 0.0f : 0.8f, .seed = 17 + i, .top_logprobs = 0});
      }
      const Status begun = harness.Begin(step);
      EXPECT_TRUE(begun.ok()) << begun.message();
      if (!begun.ok()) return run;
      if (++in_flight == 2) keep(harness.Await()), --in_flight;
    }
    keep(harness.Await());
    for (int32_t i = 0; i < sequences; ++i) {
      StepBuilder pages;
      pages.Export(PagesOf(harness, i, length(i) + steps));
      const testing::ResultReader exported = harness.Run(pages);
      run.pages.insert(run.pages.end(), exported.page_bytes().begin(), exported.page_bytes().end());
    }
    return run;
  }

  int32_t gpus_ = 0;  // at most kShardsMost of those that there are
};

// Slots 0 and 1 are plain adapters, the others have a form each.
inline constexpr int32_t kFormedSlots = 2 + static_cast<int32_t>(std::size(testing::kForms));

inline void LoadForms(EngineHarness& harness) {
  int32_t page = kFirstPage + 200;
  for (const testing::Form form : testing::kForms) {
    const auto slot = 2 + static_cast<int32_t>(form);
    page += static_cast<int32_t>(harness.Load(slot, testing::FormedAdapter(harness.spec(), 30 + slot, form), page).pages);
  }
}

}  // namespace chorale
