// Adapters that do more than add to the linears of the layers, on a GPU, against the engine on the CPU: beside rows of the
// base model and of plain adapters.
#include <gtest/gtest.h>

#include <filesystem>

#include "cuda/cuda_cases.h"
#include "cuda/op_comparer.h"
#include "testing/adapter_forms.h"

namespace chorale {
namespace {

constexpr int32_t kFirstFormed = 2;   // slot; 0 and 1 are plain
constexpr int32_t kFirstPage = 400;   // of formed adapters
constexpr int32_t kSlots = kFirstFormed + static_cast<int32_t>(std::size(testing::kForms));

// The pages of each lie in the order that `backwards` says.
void LoadForms(EngineHarness& harness, uint64_t seed, bool backwards = false) {
  LoadAdapters(harness, seed);
  int32_t page = kFirstPage;
  for (const testing::Form form : testing::kForms) {
    const auto slot = kFirstFormed + static_cast<int32_t>(form);
    const StagedAdapter staged = harness.Stage(testing::FormedAdapter(harness.spec(), seed + 10 + slot, form));
    std::vector<int32_t> pages(static_cast<size_t>(staged.pages));
    std::iota(pages.begin(), pages.end(), page);
    page += static_cast<int32_t>(staged.pages);
    if (backwards) std::reverse(pages.begin(), pages.end());
    StepBuilder step;
    step.Load(slot, staged.handle, pages, 0, harness.layer_groups());
    harness.Run(step);
  }
}

// A sequence for every adapter and one for none, the own head with two; then one more token of each.
void RunSteps(EngineHarness& harness) {
  for (const bool decode : {false, true}) {
    StepBuilder step;
    for (int32_t i = 0; i < kSlots + 2; ++i) {
      const auto count = 11 + 13 * i;
      std::vector<int32_t> pages;
      for (int32_t at = 0; at <= count; at += harness.page_tokens()) {
        pages.push_back(120 + i * 30 + static_cast<int32_t>(pages.size()));
      }
      const std::vector<int32_t> ids = decode ? std::vector<int32_t>{(i + 1) % harness.spec().vocab} : harness.Prompt(count, i);
      step.Sequence(ids, decode ? count : 0, pages, count);
      if (i == 0) step.Segment();
      if (i > 0 && i <= kSlots) step.Segment({{i - 1, 1.0f}});
      if (i > kSlots) step.Segment({{0, 0.5f}, {kFirstFormed + 1, -0.5f}, {kFirstFormed + 2, 1.5f}});
      step.Sample();
    }
    harness.Run(step);
  }
}

class CudaFormsTest : public CudaComparisonTest {};

TEST_P(CudaFormsTest, EveryOperationFollowsTheReference) {
  EveryOperationFollowsTheReference([](EngineHarness& harness) { LoadForms(harness, 5); }, RunSteps);
}

std::vector<Generation> Prompts(const EngineHarness& harness) {
  return MakePrompts(harness, kSlots + 2, 9, [](int32_t i) { return i == kSlots + 1 ? kSlots - 1 : i - 1; });
}

TEST_P(CudaFormsTest, LogitsFollowTheCpu) {
  auto cpu = Cpu(GetParam(), 21), cuda = Cuda(GetParam(), 21);
  LoadForms(*cpu, 7);
  LoadForms(*cuda, 7);
  auto want = Prompts(*cpu), got = Prompts(*cuda);
  Generate(*cpu, want, 1);
  Generate(*cuda, got, 1, 40);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_LT(RelativeError(got[i].logits[0], want[i].logits[0]), 3e-2) << "prompt " << i;
  }
}

TEST_P(CudaFormsTest, PagesMayLieAnywhere) {
  auto first = Cuda(GetParam(), 31), second = Cuda(GetParam(), 31);
  LoadForms(*first, 9);
  LoadForms(*second, 9, true);
  auto a = Prompts(*first), b = Prompts(*second);
  for (Generation& g : b) std::reverse(g.pages.begin(), g.pages.end());
  Generate(*first, a, 5);
  Generate(*second, b, 5);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].tokens, b[i].tokens);
    for (size_t t = 0; t < a[i].logits.size(); ++t) EXPECT_TRUE(testing::SameBits(a[i].logits[t], b[i].logits[t])) << i;
  }
}

// Decode steps with nobody looking: one sequence in two uses the base model, the others a slot that changes from step to
// step; in every third step nobody uses more than plain adapters. `formed` false: all use the base model.
struct Played {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  BackendCounters before, after;  // of all but the first steps
};

Played Play(EngineHarness& harness, bool formed) {
  constexpr int32_t kSequences = 14, kSteps = 15, kPrompt = 20, kFirst = 6;
  harness.engine().SetObserver(nullptr);
  const auto pages = [](int32_t sequence) { return std::vector<int32_t>{200 + 3 * sequence, 201 + 3 * sequence, 202 + 3 * sequence}; };
  for (int32_t i = 0; i < kSequences; ++i) {
    StepBuilder step;
    harness.Run(step.Sequence(harness.Prompt(kPrompt, i), 0, pages(i), kPrompt).Segment());
  }
  Played played;
  for (int32_t t = 0; t < kSteps; ++t) {
    if (t == kFirst) played.before = harness.engine().counters();
    StepBuilder step;
    for (int32_t i = 0; i < kSequences; ++i) {
      step.Sequence({(i * 5 + t) % harness.spec().vocab}, kPrompt + t, pages(i), kPrompt);
      const int32_t slots = t % 3 == 2 ? kFirstFormed : kSlots;
      if (!formed || i % 2 == 0) {
        step.Segment();
      } else {
        step.Segment({{(i / 2 + t) % slots, 1.0f}});
      }
      step.Sample({.top_logprobs = 0});
    }
    const testing::ResultReader result = harness.Run(step);
    played.tokens.insert(played.tokens.end(), result.drawn_ids().begin(), result.drawn_ids().end());
    played.logprobs.insert(played.logprobs.end(), result.drawn_logprobs().begin(), result.drawn_logprobs().end());
  }
  played.after = harness.engine().counters();
  return played;
}

TEST_P(CudaFormsTest, ReplayedStepsAreThoseThatWereLaunchedAndLeaveTheBaseAlone) {
  const auto play = [&](bool graphs, bool formed) {
    auto harness = Serving(GetParam(), 51, graphs);
    LoadForms(*harness, 13);
    return Play(*harness, formed);
  };
  const Played want = play(false, true), got = play(true, true), base = play(true, false);
  EXPECT_EQ(want.tokens, got.tokens);
  EXPECT_TRUE(testing::SameBits(want.logprobs, got.logprobs));
  for (size_t i = 0; i < base.tokens.size(); i += 2) {
    EXPECT_EQ(base.tokens[i], got.tokens[i]);
    EXPECT_EQ(std::memcmp(&base.logprobs[i], &got.logprobs[i], sizeof(float)), 0) << i;
  }
  EXPECT_EQ(got.after.graph_replays - got.before.graph_replays, 9);
  EXPECT_EQ(got.after.graph_captures, got.before.graph_captures);
  EXPECT_EQ(got.after.device_allocations, got.before.device_allocations);
  EXPECT_EQ(got.after.waits, got.before.waits);
}

// With nobody looking, many rows take other ways: LoRA is added where the products are read.
TEST_P(CudaFormsTest, ManyRowsThatNobodyLooksAtGiveTheSameAnswers) {
  auto looked = Cuda(GetParam(), 81), alone = Cuda(GetParam(), 81);
  std::vector<std::vector<float>> logits;
  for (EngineHarness* harness : {looked.get(), alone.get()}) {
    LoadForms(*harness, 15);
    if (harness == alone.get()) harness->engine().SetObserver(nullptr);
    StepBuilder step;
    for (int32_t i = 0; i <= kSlots; ++i) {
      std::vector<int32_t> pages;
      for (int32_t at = 0; at <= 40 + i; at += harness->page_tokens()) pages.push_back(120 + i * 8 + static_cast<int32_t>(pages.size()));
      step.Sequence(harness->Prompt(40 + i, i), 0, pages, 40 + i);
      if (i == 0) step.Segment();
      if (i > 0) step.Segment({{i - 1, 1.0f}});
      step.Sample({.top_logprobs = 0});
    }
    const testing::ResultReader result = harness->Run(step);
    if (harness == looked.get()) {
      logits = harness->keeper().rows;
      continue;
    }
    for (size_t i = 0; i < logits.size(); ++i) {
      double sum = 0;
      for (const float logit : logits[i]) sum += std::exp(static_cast<double>(logit));
      EXPECT_NEAR(result.drawn_logprobs()[i], logits[i][result.drawn_ids()[i]] - std::log(sum), 0.1) << "sequence " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, CudaFormsTest, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

// What is not of a layer comes with the last layers of a load, and is read before the first.
TEST_F(CudaEngineTest, AFormedAdapterMayBeReadInTheStepThatLoadsIt) {
  const Case c = Cases()[4];
  std::vector<std::vector<float>> logits;
  for (const bool at_once : {false, true}) {
    auto harness = Cuda(c, 61);
    const StagedAdapter staged = harness->Stage(testing::FormedAdapter(c.spec, 3, testing::Form::kOwnHead));
    std::vector<int32_t> pages(static_cast<size_t>(staged.pages));
    std::iota(pages.begin(), pages.end(), 0);
    StepBuilder step;
    step.Load(0, staged.handle, pages, 0, harness->layer_groups());
    if (!at_once) {
      harness->Run(step);
      step = StepBuilder();
    }
    harness->Run(step.Sequence(harness->Prompt(30, 1), 0, {140, 141, 142}, 30).Segment({{0, 1.0f}}).Sample());
    logits.push_back(harness->keeper().rows[0]);
  }
  EXPECT_TRUE(testing::SameBits(logits[0], logits[1]));
}

// Norms are of the base's weights: while those hold an adapter they cannot be had, and afterwards they are the same again.
TEST_F(CudaEngineTest, DoraIsStagedWhileTheBaseIsItself) {
  const Case c = Cases()[4];
  EngineConfig config = CudaConfig();
  config.merge = "in_place";
  auto harness = Open(c, 71, config);
  LoadForms(*harness, 5);
  Generation before;
  before.prompt = harness->Prompt(25, 1);
  before.slot = kFirstFormed;
  before.pages = {200, 201, 202};
  Generation after = before;
  harness->Generate({&before}, 4);
  StepBuilder merge, unmerge, drop;
  harness->Run(merge.Merge(0));
  testing::TensorSet dora = testing::FormedAdapter(c.spec, 5 + 10 + kFirstFormed, testing::Form::kDora);
  AlignedBytes manifest;
  manifest.Assign(dora.BuildFor("memory"));
  Result<ManifestView> view = ManifestView::ParseAdapter(manifest.bytes(), c.spec);
  ASSERT_TRUE(view.ok());
  testing::MemorySpans spans(dora.data);
  const Result<StagedAdapter> refused = harness->engine().Stage(view.value(), spans);
  EXPECT_EQ(refused.status().code(), CH_RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.status().message().find("merged into the base's weights in place"), std::string::npos);
  harness->Run(unmerge.Unmerge());
  harness->Run(drop.Drop(kFirstFormed));
  harness->Load(kFirstFormed, dora, 1000);
  harness->Generate({&after}, 4);
  for (size_t t = 0; t < 4; ++t) EXPECT_TRUE(testing::SameBits(before.logits[t], after.logits[t]));
}

}  // namespace
}  // namespace chorale
