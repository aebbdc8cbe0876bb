// The engine on a GPU against the engine on the CPU: every operation for itself, and whole generations.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Generation;
using testing::ModelOptions;
using testing::RandomAdapter;
using testing::StepBuilder;

struct OpRecord {
  Op op;
  int32_t layer;
  std::vector<float> values;
};

class Recorder final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float> values, int64_t) override {
    records.push_back({op, layer, {values.begin(), values.end()}});
  }
  std::vector<OpRecord> records;
};

double RelativeError(std::span<const float> got, std::span<const float> want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - want[i];
    error += difference * difference;
    norm += static_cast<double>(want[i]) * want[i];
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

// Compares each operation with the record, then puts the record's values in its place: an error stays where it was made.
// A linear sees its inputs rounded to 8 bits (relative error 1.7e-3 each), LoRA rounds its weights and v as well, and
// the logits of attention see two rounded factors; four times that is the limit.
class Comparer final : public OpObserver {
 public:
  explicit Comparer(std::vector<OpRecord> records) : records_(std::move(records)) {}
  void OnOp(Op op, int32_t layer, std::span<float> values, int64_t) override {
    ASSERT_LT(next_, records_.size());
    const OpRecord& expected = records_[next_++];
    ASSERT_EQ(op, expected.op);
    ASSERT_EQ(layer, expected.layer);
    ASSERT_EQ(values.size(), expected.values.size());
    const double error = RelativeError(values, expected.values);
    EXPECT_LT(error, 1.4e-2) << kOpNames[op] << " of layer " << layer;
    EXPECT_FALSE(std::isnan(error)) << kOpNames[op] << " of layer " << layer;
    std::copy(expected.values.begin(), expected.values.end(), values.begin());
  }
  bool complete() const { return next_ == records_.size(); }

 private:
  std::vector<OpRecord> records_;
  size_t next_ = 0;
};

struct Case {
  const char* name;
  ModelSpec spec;
  ModelOptions options;
};

std::vector<Case> Cases() {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  std::vector<Case> cases = {
      {"gqa_128", {2, 512, 1280, 8, 2, 128, 999, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}, {}},
      {"gqa_64_biases", {2, 448, 640, 7, 1, 64, 1000, 1024, 64, 1, 0, 0, 1e-6f, 1, 0.125f, 0}, {{kQ, kK, kV}, {}}},
      {"mha_128_window", {3, 256, 384, 2, 2, 128, 511, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}, {{}, {24, 0, 40}}},
      {"qk_norm_128", {2, 256, 512, 4, 2, 128, 640, 1024, 128, 1, 1, 0, 1e-6f, 1, 0.088388346f, 0}, {}},
      {"fable", {3, 192, 512, 6, 2, 32, 2048, 1024, 32, 1, 0, 0, 1e-5f, 1, 0.17677669f, 0}, {}},
      {"mha_odd_heads", {2, 80, 200, 5, 5, 16, 331, 256, 16, 1, 0, 0, 1e-6f, 1, 0.25f, 0}, {}},
      {"head_of_three", {2, 30, 41, 6, 3, 5, 33, 256, 4, 0, 1, 0, 1e-5f, 1, 0.4472136f, 0}, {}},
      {"head_of_48", {2, 64, 96, 3, 3, 48, 257, 256, 48, 1, 1, 0, 1e-6f, 1.1f, 0.14433757f, 0}, {}},
      {"all_biases", {1, 36, 52, 2, 1, 18, 40, 256, 12, 0, 0, 0, 1e-5f, 1, 0.23570226f, 0},
       {{kQ, kK, kV, kO, kGate, kUp, kDown}, {}}},
      {"one_of_everything", {1, 2, 1, 1, 1, 2, 3, 256, 2, 1, 0, 0, 1e-5f, 1, 0.70710678f, 0}, {}}};
  for (Case& c : cases) c.options.dtype = kBF16;
  return cases;
}

constexpr int64_t kPoolBytes = int64_t{256} << 20;

class CudaEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* directory = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
    if (directory == nullptr) GTEST_SKIP() << "CHORALE_CUDA_LIBRARY_DIR does not say where libchorale_cuda.so is";
    directory_ = directory;
    testing::TensorSet model = testing::RandomModel(testing::SmallSpec(), 1);
    AlignedBytes manifest;
    manifest.Assign(model.BuildFor("memory"));
    Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
    ASSERT_TRUE(view.ok());
    testing::MemorySpans spans(model.data);
    EngineConfig config;
    config.backend = "cuda";
    config.library_dir = directory_;
    config.pool_bytes = 1 << 20;
    const Result<std::unique_ptr<Engine>> engine = Engine::Create(config, view.value(), spans);
    if (!engine.ok() && engine.status().message().find("no device") != std::string::npos) {
      GTEST_SKIP() << engine.status().message();
    }
    ASSERT_TRUE(engine.ok()) << engine.status().message();
  }

  std::unique_ptr<EngineHarness> Cpu(const Case& c, uint64_t seed) {
    return std::make_unique<EngineHarness>(c.spec, seed, "reference", c.options, kPoolBytes);
  }
  std::unique_ptr<EngineHarness> Cuda(const Case& c, uint64_t seed, const std::string& mode = "fast") {
    auto harness = std::make_unique<EngineHarness>(c.spec, seed, mode, c.options, kPoolBytes);
    harness->config().backend = "cuda";
    harness->config().library_dir = directory_;
    harness->Open();
    return harness;
  }

  std::string directory_;
};

void LoadAdapters(EngineHarness& harness, uint64_t seed) {
  harness.Load(0, RandomAdapter(harness.spec(), seed, [](int32_t layer, Target t) { return 1 + (layer * 7 + t * 5) % 13; }),
               0);
  harness.Load(1, RandomAdapter(harness.spec(), seed + 1, [](int32_t layer, Target t) {
                 return layer == 0 && t % 2 == 1 ? 0 : t == kQ ? 96 : 20;
               }), 60);
}

// Three sequences, one without adapter, one with one, one with two at once; then one more token for each.
void RunSteps(EngineHarness& harness) {
  for (const bool decode : {false, true}) {
    StepBuilder step;
    for (int32_t i = 0; i < 3; ++i) {
      const std::vector<int32_t> prompt = harness.Prompt(19 + 60 * i, i);
      std::vector<int32_t> pages;
      for (int32_t at = 0; at <= static_cast<int32_t>(prompt.size()); at += harness.page_tokens()) {
        pages.push_back(120 + i * 20 + static_cast<int32_t>(pages.size()));
      }
      if (decode) {
        step.Sequence({(i + 1) % harness.spec().vocab}, static_cast<int32_t>(prompt.size()), pages, static_cast<int32_t>(prompt.size()));
      } else {
        step.Sequence(prompt, 0, pages, static_cast<int32_t>(prompt.size()));
      }
      if (i == 0) step.Segment();
      if (i == 1) step.Segment({{0, 1.0f}});
      if (i == 2) step.Segment({{0, 0.5f}, {1, -1.0f}});
      step.Sample();
    }
    step.hidden_rows = {1, 2};
    harness.Run(step);
  }
}

TEST_F(CudaEngineTest, EveryOperationFollowsTheReference) {
  for (const Case& c : Cases()) {
    for (const std::string mode : {"fast", "reference"}) {
      SCOPED_TRACE(std::string(c.name) + ", " + mode);
      auto cpu = Cpu(c, 11), cuda = Cuda(c, 11, mode);
      LoadAdapters(*cpu, 5);
      LoadAdapters(*cuda, 5);
      Recorder recorder;
      cpu->engine().SetObserver(&recorder);
      RunSteps(*cpu);
      Comparer comparer(std::move(recorder.records));
      cuda->engine().SetObserver(&comparer);
      RunSteps(*cuda);
      EXPECT_TRUE(comparer.complete());
      if (HasFatalFailure()) return;
    }
  }
}

std::vector<Generation> Prompts(const EngineHarness& harness, int32_t count) {
  std::vector<Generation> generations;
  for (int32_t i = 0; i < count; ++i) {
    Generation g;
    g.prompt = harness.Prompt(5 + 17 * i, i);
    g.slot = i % 3 - 1;
    for (int32_t page = 0; page < 12; ++page) g.pages.push_back(120 + i * 12 + page);
    generations.push_back(std::move(g));
  }
  return generations;
}

void Generate(EngineHarness& harness, std::vector<Generation>& generations, int32_t tokens, int32_t chunk = 1000) {
  std::vector<Generation*> pointers;
  for (Generation& g : generations) pointers.push_back(&g);
  harness.Generate(pointers, tokens, chunk);
}

// The logits of one forward pass over each prompt, and the token that follows where the margin is beyond the noise.
TEST_F(CudaEngineTest, LogitsFollowTheCpu) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    auto cpu = Cpu(c, 21), cuda = Cuda(c, 21);
    LoadAdapters(*cpu, 7);
    LoadAdapters(*cuda, 7);
    auto want = Prompts(*cpu, 6), got = Prompts(*cuda, 6);
    Generate(*cpu, want, 1);
    Generate(*cuda, got, 1, 40);
    for (size_t i = 0; i < want.size(); ++i) {
      const std::vector<float>&w = want[i].logits[0], &g = got[i].logits[0];
      EXPECT_LT(RelativeError(g, w), 3e-2) << "prompt " << i;
      double squares = 0;
      for (size_t t = 0; t < w.size(); ++t) squares += std::pow(static_cast<double>(g[t]) - w[t], 2);
      std::vector<float> sorted = w;
      std::sort(sorted.rbegin(), sorted.rend());
      if (sorted[0] - sorted[1] > 4 * std::sqrt(squares / static_cast<double>(w.size()))) {
        EXPECT_EQ(got[i].tokens.back(), want[i].tokens.back()) << "prompt " << i;
      }
    }
  }
}

TEST_F(CudaEngineTest, PagesMayLieAnywhereAndRunsAreAlike) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    auto first = Cuda(c, 31), second = Cuda(c, 31);
    LoadAdapters(*first, 9);
    LoadAdapters(*second, 9);
    auto a = Prompts(*first, 5), b = Prompts(*second, 5);
    for (Generation& g : b) std::reverse(g.pages.begin(), g.pages.end());
    Generate(*first, a, 6);
    Generate(*second, b, 6);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].tokens, b[i].tokens);
      for (size_t t = 0; t < a[i].logits.size(); ++t) EXPECT_TRUE(testing::SameBits(a[i].logits[t], b[i].logits[t]));
    }
  }
}

TEST_F(CudaEngineTest, MergedFollowsUnmergedAndLeavesTheBaseAlone) {
  const Case c = Cases()[0];
  auto harness = Cuda(c, 41);
  LoadAdapters(*harness, 3);
  const auto generate = [&](int32_t merged_slot) {
    Generation g;
    g.prompt = harness->Prompt(30, 1);
    g.slot = merged_slot >= 0 ? -1 : 0;
    for (int32_t page = 0; page < 4; ++page) g.pages.push_back(150 + page);
    std::vector<Generation*> one = {&g};
    harness->Generate(one, 1, 1000, merged_slot);
    return g.logits[0];
  };
  const Result<int64_t> before = harness->engine().WeightsDigest();
  const std::vector<float> unmerged = generate(-1);
  StepBuilder merge;
  merge.Merge(0, 1.0f);
  harness->Run(merge);
  const std::vector<float> merged = generate(0);
  EXPECT_LT(RelativeError(merged, unmerged), 2e-2);
  StepBuilder unmerge;
  unmerge.Unmerge();
  harness->Run(unmerge);
  EXPECT_TRUE(testing::SameBits(generate(-1), unmerged));
  EXPECT_EQ(harness->engine().WeightsDigest().value(), before.value());
}

}  // namespace
}  // namespace chorale
