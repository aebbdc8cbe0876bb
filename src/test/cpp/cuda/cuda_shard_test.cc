// A model on several GPUs is the model on one: needs two that reach each other, skips itself without, and takes three and
// four where they are.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "shard/shard_cut.h"
#include "testing/adapter_forms.h"
#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Generation;
using testing::ModelOptions;
using testing::RandomAdapter;
using testing::SameBits;
using testing::StepBuilder;

constexpr int64_t kPoolBytes = int64_t{512} << 20;
constexpr int32_t kFirstPage = 1200;  // of sequences; adapters are before

struct Case {
  const char* name;
  ModelSpec spec;
  ModelOptions options;
};

std::vector<Case> Cases() {
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

// What a run without anybody looking gives: draws, their log-probabilities, and the pages at the end.
struct Played {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<uint8_t> pages;
};

class CudaShardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* directory = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
    if (directory == nullptr) GTEST_SKIP() << "CHORALE_CUDA_LIBRARY_DIR does not say where libchorale_cuda.so is";
    directory_ = directory;
    for (gpus_ = 1; gpus_ < kShardsMost; ++gpus_) {
      const Status status = Create(gpus_ + 1);
      const bool lacks = status.message().find("no device") != std::string::npos ||
                         status.message().find(Format("this machine shows %d", gpus_)) != std::string::npos;
      if (lacks && gpus_ == 1) GTEST_SKIP() << status.message();
      if (lacks) break;
      ASSERT_TRUE(status.ok()) << status.message();
    }
    RecordProperty("gpus", gpus_);
  }

  struct Cut {
    Case model;
    int32_t shards;
    std::string scheme;
    std::string Name() const { return Format("%s, %d shards, %s", model.name, shards, scheme.c_str()); }
  };
  // All that divide, over as many GPUs as there are.
  std::vector<Cut> Cuts(bool sharded_too = true) const {
    std::vector<Cut> cuts;
    for (const Case& c : Cases()) {
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

  Status Create(int32_t shards, const std::string& scheme = "replicate") const {
    testing::TensorSet model = testing::RandomModel(kSpec, 1);
    AlignedBytes manifest;
    manifest.Assign(model.BuildFor("memory"));
    Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
    testing::MemorySpans spans(model.data);
    EngineConfig config;
    config.backend = "cuda";
    config.library_dir = directory_;
    config.pool_bytes = 16 << 20;
    config.shards = shards;
    config.lora_sharding = scheme;
    return ShardedEngine::Create(config, view.value(), spans).status();
  }

  std::unique_ptr<EngineHarness> Make(const Case& c, int32_t shards, bool graphs = true,
                                      const std::string& scheme = "replicate") const {
    auto harness = std::make_unique<EngineHarness>(c.spec, 51, "fast", c.options, kPoolBytes);
    harness->config().backend = "cuda";
    harness->config().library_dir = directory_;
    harness->config().shards = shards;
    harness->config().lora_sharding = scheme;
    harness->config().graphs = graphs ? 1 : 0;
    harness->config().poison = 0;
    harness->Open();
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

  static constexpr int32_t kShardsMost = 4;
  static constexpr ModelSpec kSpec{2, 384, 768, 12, 12, 32, 999, 1024, 32, 0, 0, 0, 1e-5f, 1, 0.17677669f, 0};
  int32_t gpus_ = 0;  // at most kShardsMost of those that there are
  std::string directory_;
};

double RelativeError(std::span<const float> got, std::span<const float> want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += static_cast<double>(want[i]) * want[i];
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

// For as long as it lives, a variable of the environment.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// Each share of a sum is rounded to 8 bits, as any input of a linear is; where the best two are further apart than the
// noise of the logits, the same token is drawn.
TEST_F(CudaShardTest, LogitsAndTokensAreThoseOfOneGpu) {
  for (const Cut& cut : Cuts()) {
    SCOPED_TRACE(cut.Name());
    auto one = Make(cut.model, 1), several = Make(cut.model, cut.shards, true, cut.scheme);
    std::vector<Generation> want, got;
    for (int32_t i = 0; i < 6; ++i) {
      Generation g;
      g.prompt = one->Prompt(5 + 17 * i, i);
      g.slot = i % 3 - 1;
      g.pages = PagesOf(*one, i, 150);
      want.push_back(g);
      got.push_back(g);
    }
    for (auto [harness, generations, chunk] : {std::tuple{one.get(), &want, 1000}, {several.get(), &got, 40}}) {
      std::vector<Generation*> pointers;
      for (Generation& g : *generations) pointers.push_back(&g);
      harness->Generate(pointers, 1, chunk);
    }
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
  }
}

// Slots 0 and 1 are plain adapters, the others have a form each.
constexpr int32_t kFormedSlots = 2 + static_cast<int32_t>(std::size(testing::kForms));

void LoadForms(EngineHarness& harness) {
  int32_t page = kFirstPage + 200;
  for (const testing::Form form : testing::kForms) {
    const auto slot = 2 + static_cast<int32_t>(form);
    page += static_cast<int32_t>(harness.Load(slot, testing::FormedAdapter(harness.spec(), 30 + slot, form), page).pages);
  }
}

TEST_F(CudaShardTest, AllFormsOfAdaptersAreThoseOfOneGpu) {
  for (const Cut& cut : Cuts()) {
    SCOPED_TRACE(cut.Name());
    std::vector<std::vector<Generation>> answers;
    for (const int32_t shards : {1, cut.shards}) {
      auto harness = Make(cut.model, shards, true, cut.scheme);
      LoadForms(*harness);
      std::vector<Generation> all;
      for (int32_t slot = -1; slot < kFormedSlots; ++slot) {
        all.push_back({.prompt = harness->Prompt(22 + 17 * slot, slot + 1), .slot = slot, .pages = PagesOf(*harness, slot + 1, 150)});
      }
      std::vector<Generation*> pointers;
      for (Generation& one : all) pointers.push_back(&one);
      harness->Generate(pointers, 1, 40);
      answers.push_back(std::move(all));
    }
    for (size_t i = 0; i < answers[0].size(); ++i) {
      EXPECT_LT(RelativeError(answers[1][i].logits[0], answers[0][i].logits[0]), 2e-2) << "slot " << static_cast<int32_t>(i) - 1;
    }
  }
}

TEST_F(CudaShardTest, ReplayedStepsOfAllFormsAreThoseThatWereLaunched) {
  for (const std::string scheme : {"replicate", "sharded"}) {
    SCOPED_TRACE(scheme);
    std::vector<std::vector<float>> logprobs;
    for (const bool graphs : {false, true}) {
      auto harness = Make(Cases()[0], 2, graphs, scheme);
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

// The sum that the norm makes while nobody looks, and the one that is made to be looked at, are the same.
TEST_F(CudaShardTest, LookingChangesNothing) {
  for (const Cut& cut : Cuts(false)) {
    SCOPED_TRACE(cut.Name());
    auto harness = Make(cut.model, cut.shards, false);
    const Played plain = Play(*harness, 4, 3);
    testing::LogitsKeeper keeper;
    auto looked = Make(cut.model, cut.shards, false);
    Generation g;
    g.prompt = looked->Prompt(9, 0);
    g.pages = PagesOf(*looked, 0, 40);
    std::vector<Generation*> one = {&g};
    looked->Generate(one, 1);
    EXPECT_EQ(g.tokens.back(), plain.tokens[0]);
  }
}

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
    Case c = Cases()[0];
    c.spec.vocab = 20000;
    std::vector<Played> runs;
    for (const int32_t poison : {0, 1}) {
      auto harness = Make(c, shards);
      harness->config().poison = poison;
      harness->Open();
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

TEST_F(CudaShardTest, MergesAsOneGpuDoes) {
  for (const auto& [way, scheme] : {std::pair{"shadow", "replicate"}, {"in_place", "replicate"}, {"shadow", "sharded"},
                                    {"in_place", "sharded"}}) {
    SCOPED_TRACE(std::string(way) + ", " + scheme);
    std::vector<std::vector<float>> logits;
    for (const int32_t shards : {1, 2, 4}) {
      if (shards > gpus_) continue;
      auto harness = Make(Cases()[0], shards, true, scheme);
      harness->config().merge = way;
      harness->config().poison = 1;
      harness->Open();
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

TEST_F(CudaShardTest, CollectivesAreAsFewAsTheSchemeAllows) {
  for (const std::string scheme : {"replicate", "sharded"}) {
    SCOPED_TRACE(scheme);
    auto harness = Make(Cases()[0], 2, false, scheme);
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

class Thrower final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float>, int64_t) override {
    if (op == kOpSwiGlu && layer == 1) throw std::runtime_error("a device has gone");
  }
};

// The first shard's kernels wait for what the second never sends.
TEST_F(CudaShardTest, AShardThatFailsFailsAllAtOnce) {
  auto harness = Make(Cases()[0], 2);
  harness->engine().SetObserver(nullptr);
  Thrower thrower;
  harness->engine().engine(1).SetObserver(&thrower);
  StepBuilder step;
  step.Sequence({5, 6, 7}, 0, {kFirstPage}, 3).Segment().Sample();
  ASSERT_TRUE(harness->Begin(step).ok());
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  const auto begin = std::chrono::steady_clock::now();
  const Status status = harness->engine().Await(out, &bytes);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(status.code(), CH_DEAD);
  EXPECT_NE(status.message().find("a device has gone"), std::string::npos) << status.message();
}

class Sleeper final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float>, int64_t) override {
    if (op == kOpO && layer == 0) std::this_thread::sleep_for(std::chrono::seconds(12));
  }
};

// The second shard gives up waiting for the first, which is late, and goes on with numbers that have not come.
TEST_F(CudaShardTest, WhatAShardHasGivenUpWaitingForIsNoResult) {
  auto harness = Make(Cases()[0], 2);
  Sleeper sleeper;
  harness->engine().SetObserver(&sleeper);
  StepBuilder step;
  step.Sequence({5, 6, 7}, 0, {kFirstPage}, 3).Segment().Sample();
  ASSERT_TRUE(harness->Begin(step).ok());
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  const Status status = harness->engine().Await(out, &bytes);
  EXPECT_EQ(status.code(), CH_DEAD);
  EXPECT_NE(status.message().find("GPU 1 has waited 10 s for what GPU 0 was to send"), std::string::npos) << status.message();
}

// The first GPU has less room, as something else is there: all use as many pages as it has, and are told so.
TEST_F(CudaShardTest, ThePoolIsAsLargeAsTheFullestGpuAllows) {
  const Case c = Cases()[0];
  auto beside = Make(c, 1), equal = Make(c, 2), unequal = Make(c, 2);
  beside->config().pool_bytes = int64_t{8} << 30;
  beside->Open();
  unequal->config().pool_bytes = 0;
  unequal->Open();
  const std::string text = unequal->engine().Describe();
  for (const char* part : {"shard 0 has room for", "stay unused"}) EXPECT_NE(text.find(part), std::string::npos) << text;
  const int32_t pages = unequal->engine().Limits().page_count;
  equal->engine().SetObserver(nullptr);
  unequal->engine().SetObserver(nullptr);
  std::vector<testing::ResultReader> results;
  for (auto [harness, page] : {std::pair{equal.get(), kFirstPage}, {unequal.get(), pages - 1}}) {
    StepBuilder step;
    results.push_back(harness->Run(step.Sequence({5, 6, 7}, 0, {page}, 3).Segment().Sample()));
  }
  EXPECT_EQ(results[0].drawn_ids()[0], results[1].drawn_ids()[0]);
  StepBuilder beyond;
  EXPECT_EQ(unequal->Begin(beyond.Sequence({5}, 0, {pages}, 1).Segment().Sample()).code(), CH_INVALID_ARGUMENT);
}

TEST_F(CudaShardTest, GpusThatDoNotReachEachOtherGoThroughNccl) {
  const Case c = Cases()[0];
  auto peers = Make(c, 2);
  const Variable none("CHORALE_PEER_ACCESS", "0");
  if (const Status status = Create(2); !status.ok()) GTEST_SKIP() << status.message();
  auto eager = Make(c, 2, false), replayed = Make(c, 2, true);
  EXPECT_NE(eager->engine().Describe().find("NCCL"), std::string::npos) << eager->engine().Describe();
  if (gpus_ >= 4) {
    auto four = Make(c, 4);
    EXPECT_EQ(Play(*four, 5, 4).tokens.size(), 25u);
  }
  const Played by_peers = Play(*peers, 5, 1), want = Play(*eager, 5, 12), got = Play(*replayed, 5, 12);
  EXPECT_EQ(want.tokens, got.tokens);
  EXPECT_TRUE(SameBits(want.logprobs, got.logprobs));
  for (size_t i = 0; i < 5; i += 2) EXPECT_NEAR(by_peers.logprobs[i], want.logprobs[i], 0.1);  // greedy ones
}

TEST_F(CudaShardTest, WithoutPeerAccessItSaysWhatWouldDo) {
  const Variable none("CHORALE_PEER_ACCESS", "0"), nowhere("CHORALE_NCCL", "/nowhere/libnccl.so.2");
  const std::string message = Create(2).message();
  for (const char* part : {"do not reach each other", "/nowhere/libnccl.so.2", "install libnccl2", "shards=1"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  const std::string sharded = Create(2, "sharded").message();
  EXPECT_NE(sharded.find("lora_sharding=replicate does without"), std::string::npos) << sharded;
}

TEST_F(CudaShardTest, MoreShardsThanGpusIsSaid) {
  const Status status = Create(12);
  EXPECT_NE(status.message().find("each takes a GPU of its own, and this machine shows"), std::string::npos)
      << status.message();
}

}  // namespace
}  // namespace chorale
