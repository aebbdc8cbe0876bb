// The engine on a GPU against the engine on the CPU: every operation for itself, and whole generations.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/cuda_cases.h"
#include "cuda/op_comparer.h"

namespace chorale {
namespace {

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

class CudaOperationsTest : public CudaComparisonTest {};

TEST_P(CudaOperationsTest, EveryOperationFollowsTheReference) {
  EveryOperationFollowsTheReference([](EngineHarness& harness) { LoadAdapters(harness, 5); }, RunSteps);
}

INSTANTIATE_TEST_SUITE_P(Models, CudaOperationsTest, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

std::vector<Generation> Prompts(const EngineHarness& harness, int32_t count) {
  return MakePrompts(harness, count, 17, [](int32_t i) { return i % 3 - 1; });
}

// Without the vendor's library small models, too, take the own products of many rows.
class CudaProductsTest : public CudaEngineTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) setenv("CHORALE_CUBLASLT", "/nowhere", 1);
    CudaEngineTest::SetUp();
  }
  void TearDown() override {
    if (!GetParam()) unsetenv("CHORALE_CUBLASLT");
  }
};
INSTANTIATE_TEST_SUITE_P(Products, CudaProductsTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "WithTheLibrary" : "OwnOnly"; });

// What the CPU says to six prompts; computed once.
const std::vector<Generation>& SaidOnTheCpu(const Case& c) {
  static std::map<std::string, std::vector<Generation>> said;
  const auto [at, first] = said.try_emplace(c.name);
  if (first) {
    auto cpu = Cpu(c, 21);
    LoadAdapters(*cpu, 7);
    at->second = Prompts(*cpu, 6);
    Generate(*cpu, at->second, 1);
  }
  return at->second;
}

// The logits of one forward pass over each prompt, and the token that follows where the margin is beyond the noise.
TEST_P(CudaProductsTest, LogitsFollowTheCpu) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    const std::vector<Generation>& want = SaidOnTheCpu(c);
    auto cuda = Cuda(c, 21);
    LoadAdapters(*cuda, 7);
    auto got = Prompts(*cuda, 6);
    Generate(*cuda, got, 1, 40);
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(want[i].logits.size(), 1u);
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

TEST_P(CudaProductsTest, PagesMayLieAnywhereAndRunsAreAlike) {
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

// Rows that nobody samples are left behind in the last layer where nobody looks at them; what is drawn stays the same.
TEST_P(CudaProductsTest, LookingChangesNothing) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    std::vector<std::vector<float>> logprobs;
    for (const bool looked : {true, false}) {
      auto harness = Cuda(c, 21);
      LoadAdapters(*harness, 7);
      if (!looked) harness->engine().SetObserver(nullptr);
      StepBuilder step;
      auto prompts = Prompts(*harness, 6);
      for (Generation& g : prompts) {
        g.params.top_logprobs = 0;
        harness->AddRows(step, g, 1000);
      }
      const testing::ResultReader result = harness->Run(step);
      logprobs.emplace_back(result.drawn_logprobs().begin(), result.drawn_logprobs().end());
    }
    ASSERT_EQ(logprobs[0].size(), 6u);
    for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(logprobs[0][i], logprobs[1][i], 0.05) << "prompt " << i;
  }
}

// Decode steps, two in flight, each fed what the one before drew: tokens, log-probabilities and all pages at the end.
struct DecodeRun {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<uint8_t> pages;
  BackendCounters before, after;  // of the decode steps
};

struct DecodeOptions {
  bool graphs = true;
  int32_t sequences = 5;
  int32_t steps = 12;
  bool adapters = true;
  bool fed = true;  // what the step before drew; else tokens that are known before
};

StepBuilder DecodeStep(const EngineHarness& harness, const DecodeOptions& options, int32_t t, int32_t prompt) {
  StepBuilder step;
  for (int32_t i = 0; i < options.sequences; ++i) {
    std::vector<int32_t> pages;
    for (int32_t at = 0; at <= prompt + t; at += harness.page_tokens()) {
      pages.push_back(130 + i * 3 + static_cast<int32_t>(pages.size()));
    }
    const int32_t given = t == 0 ? i + 1 : (t * 7 + i) % harness.spec().vocab;
    step.Sequence({t == 0 || !options.fed ? given : -(i + 1)}, prompt + t, pages, prompt);
    if (!options.adapters || i % 3 == 0) step.Segment();
    else if (i % 3 == 1) step.Segment({{0, 1.0f}});
    else step.Segment({{t % 2, 0.5f}, {1 - t % 2, -1.0f}});
    step.Sample({.temperature = i % 2 == 0 ? 0.0f : 0.8f, .seed = 17 + i, .top_logprobs = 0});
  }
  return step;
}

DecodeRun Decode(EngineHarness& harness, const DecodeOptions& options) {
  constexpr int32_t kPrompt = 20;
  harness.engine().SetObserver(nullptr);
  for (int32_t i = 0; i < options.sequences; ++i) {
    StepBuilder step;
    std::vector<int32_t> pages;
    for (int32_t at = 0; at < kPrompt; at += harness.page_tokens()) pages.push_back(130 + i * 3 + static_cast<int32_t>(pages.size()));
    step.Sequence(harness.Prompt(kPrompt, i), 0, pages, kPrompt).Segment();
    harness.Run(step);
  }
  DecodeRun run;
  const auto keep = [&](const testing::ResultReader& result) {
    EXPECT_EQ(result.header().status, CH_OK) << result.fault();
    run.tokens.insert(run.tokens.end(), result.drawn_ids().begin(), result.drawn_ids().end());
    run.logprobs.insert(run.logprobs.end(), result.drawn_logprobs().begin(), result.drawn_logprobs().end());
  };
  int32_t in_flight = 0;
  const auto drain_to = [&](int32_t left) {
    for (; in_flight > left; --in_flight) keep(harness.Await());
  };
  for (int32_t t = 0; t < options.steps; ++t) {
    if (t == 2) {  // what there is to record has been recorded
      drain_to(0);
      run.before = harness.engine().counters();
    }
    StepBuilder step = DecodeStep(harness, options, t, kPrompt);
    EXPECT_TRUE(harness.Begin(step).ok());
    ++in_flight;
    drain_to(1);
  }
  drain_to(0);
  run.after = harness.engine().counters();
  for (int32_t i = 0; i < options.sequences; ++i) {
    StepBuilder pages;
    pages.Export({130 + i * 3, 131 + i * 3, 132 + i * 3});
    const testing::ResultReader exported = harness.Run(pages);
    run.pages.insert(run.pages.end(), exported.page_bytes().begin(), exported.page_bytes().end());
  }
  return run;
}

TEST_F(CudaEngineTest, ReplayedStepsAreThoseThatWereLaunched) {
  for (const Case& c : Cases()) {
    if (c.spec.vocab < 30) continue;  // too few tokens for the sequences below
    SCOPED_TRACE(c.name);
    auto eager = Serving(c, 51, false), replayed = Serving(c, 51, true);
    for (EngineHarness* harness : {eager.get(), replayed.get()}) LoadAdapters(*harness, 13);
    for (const DecodeOptions options : {DecodeOptions{}, DecodeOptions{.sequences = 8, .adapters = false},
                                        DecodeOptions{.sequences = 1}, DecodeOptions{.sequences = 21}}) {
      SCOPED_TRACE(options.sequences);
      const DecodeRun want = Decode(*eager, options), got = Decode(*replayed, options);
      EXPECT_EQ(want.tokens, got.tokens);
      EXPECT_TRUE(testing::SameBits(want.logprobs, got.logprobs));
      EXPECT_EQ(want.pages, got.pages);
      EXPECT_EQ(want.after.graph_replays, want.before.graph_replays);
      EXPECT_EQ(got.after.graph_replays - got.before.graph_replays, options.steps - 2);
    }
  }
}

// Steps that nobody looks at are recorded and replayed: what they draw, and how likely it is, tells whether they are right. Without
// adapters at one site of a model that does not repeat itself, half of the tokens would be others.
TEST_F(CudaEngineTest, DecodeStepsFollowTheCpu) {
  for (const Case& c : Cases()) {
    if (c.spec.vocab < 30) continue;
    SCOPED_TRACE(c.name);
    auto cpu = Cpu(c, 51), cuda = Cuda(c, 51);
    LoadAdapters(*cpu, 13);
    LoadAdapters(*cuda, 13);
    const DecodeOptions options{.sequences = 7, .steps = 5, .fed = false};
    const DecodeRun want = Decode(*cpu, options), got = Decode(*cuda, options);
    ASSERT_EQ(got.tokens.size(), want.tokens.size());
    int32_t same = 0;
    for (size_t i = 0; i < want.tokens.size(); ++i) {
      if (got.tokens[i] != want.tokens[i]) continue;
      ++same;
      EXPECT_NEAR(got.logprobs[i], want.logprobs[i], 0.05) << i;
    }
    EXPECT_GE(same, 30) << "of " << want.tokens.size();
  }
}

TEST_F(CudaEngineTest, ASteadyStateAllocatesNothingAndWaitsOnceAStep) {
  auto harness = Serving(Cases()[0], 51, true);
  LoadAdapters(*harness, 13);
  // A sanitizer makes a step take seconds: there a few say as much.
  const char* steps = std::getenv("CHORALE_TEST_STEPS");
  const DecodeOptions options{.sequences = 7, .steps = steps != nullptr ? std::atoi(steps) : 30};
  Decode(*harness, options);
  const DecodeRun run = Decode(*harness, options);
  EXPECT_EQ(run.after.device_allocations, run.before.device_allocations);
  EXPECT_EQ(run.after.host_allocations, run.before.host_allocations);
  EXPECT_EQ(run.after.waits, run.before.waits);
  EXPECT_EQ(run.after.graph_captures, run.before.graph_captures);
  EXPECT_EQ(run.after.steps_collected - run.before.steps_collected, options.steps - 2);
}

// A step that loads an adapter may use it at once, whatever else its pages held before.
TEST_F(CudaEngineTest, AdaptersComeBesideRunningSteps) {
  const Case c = Cases()[0];
  const auto rank = [](int32_t, Target) { return 24; };
  const auto generate = [&](bool churn) {
    auto harness = Serving(c, 51, true);
    LoadAdapters(*harness, 13);
    const StagedAdapter wanted = harness->Stage(RandomAdapter(c.spec, 99, rank));
    const StagedAdapter other = harness->Stage(RandomAdapter(c.spec, 98, rank));
    std::vector<int32_t> pages(wanted.pages);
    for (size_t i = 0; i < pages.size(); ++i) pages[i] = 300 + static_cast<int32_t>(i);
    if (churn) {
      for (int32_t i = 0; i < 20; ++i) {
        StepBuilder step;
        if (i > 0) step.Drop(2);
        step.Load(2, other.handle, pages, 0, harness->layer_groups());
        harness->Run(step);
      }
      StepBuilder drop;
      drop.Drop(2);
      harness->Run(drop);
    }
    StepBuilder step;
    step.Load(2, wanted.handle, pages, 0, harness->layer_groups());
    step.Sequence(harness->Prompt(40, 1), 0, {140, 141, 142}, 40).Segment({{2, 1.0f}}).Sample({.top_logprobs = 0});
    const testing::ResultReader result = harness->Run(step);
    return std::pair(result.drawn_ids()[0], result.drawn_logprobs()[0]);
  };
  EXPECT_EQ(generate(false), generate(true));
}

// Rows sampled in the middle of a prompt see in their penalties what comes before them and nothing else.
TEST_F(CudaEngineTest, CountsUpToEachSampledRow) {
  const Case c = Cases()[0];
  auto cpu = Cpu(c, 61), cuda = Cuda(c, 61);
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::vector<float>> logprobs;
  for (EngineHarness* harness : {cpu.get(), cuda.get()}) {
    StepBuilder first;
    first.Sequence({5, 6, 7, 5}, 0, {140}, 2, 3).Segment();
    for (int32_t row = 0; row < 4; ++row) first.Sample({.repetition = 8, .presence = 6, .frequency = 3, .top_logprobs = 0}, row);
    const testing::ResultReader a = harness->Run(first);
    StepBuilder second;  // the drawn token and two more, of which the middle one is sampled as well
    second.Sequence({-4, 9, 9}, 4, {140}, 2, 3).Segment();
    for (int32_t row = 0; row < 3; ++row) second.Sample({.repetition = 8, .presence = 6, .top_logprobs = 0}, row);
    const testing::ResultReader b = harness->Run(second);
    ids.push_back({a.drawn_ids().begin(), a.drawn_ids().end()});
    ids.back().insert(ids.back().end(), b.drawn_ids().begin(), b.drawn_ids().end());
    logprobs.push_back({a.drawn_logprobs().begin(), a.drawn_logprobs().end()});
    logprobs.back().insert(logprobs.back().end(), b.drawn_logprobs().begin(), b.drawn_logprobs().end());
  }
  EXPECT_EQ(ids[0], ids[1]);
  for (size_t i = 0; i < logprobs[0].size(); ++i) EXPECT_NEAR(logprobs[0][i], logprobs[1][i], 0.1) << i;
}

// Weights that are made on the device are those that the CPU makes: the embedding of a bfloat16 model to the bit.
TEST_F(CudaEngineTest, MakesTheSameNumbersAsTheCpu) {
  const ModelSpec spec = Cases()[0].spec;
  const auto open = [&](const EngineConfig& config) {
    return std::make_unique<EngineHarness>(spec, testing::DummyModel(spec, 3, kBF16), config);
  };
  auto cpu = open({.mode = "reference", .threads = 3, .pool_bytes = kPoolBytes, .poison = 1}), cuda = open(CudaConfig());
  std::vector<std::vector<OpRecord>> records;
  for (EngineHarness* harness : {cpu.get(), cuda.get()}) {
    harness->Load(0, testing::DummyAdapter(spec, 4, 12, {kQ, kV, kDown}), 0);
    Recorder recorder;
    harness->engine().SetObserver(&recorder);
    StepBuilder step;
    step.Sequence(harness->Prompt(40, 1), 0, {140, 141, 142}, 40).Segment({{0, 1.0f}}).Sample();
    harness->Run(step);
    records.push_back(std::move(recorder.records));
  }
  ASSERT_EQ(records[0][0].op, kOpEmbed);
  EXPECT_TRUE(testing::SameBits(records[0][0].values, records[1][0].values));
  EXPECT_LT(RelativeError(records[1].back().values, records[0].back().values), 3e-2);
}

}  // namespace
}  // namespace chorale
