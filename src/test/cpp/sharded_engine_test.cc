// A model in several shards is the same model: answers of one shard, of two, three and four, in both schemes.
#include "engine/sharded_engine.h"

#include <gtest/gtest.h>

#include <cmath>

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

constexpr int32_t kTokens = 6;

struct ShardedModel {
  const char* name;
  ModelSpec spec;
  ModelOptions options;
  std::vector<int32_t> shards;
};

std::vector<ShardedModel> Models() {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  return {
      {"grouped", {3, 64, 160, 4, 2, 16, 384, 256, 16, 0, 0, 0, 1e-5f, 1, 0.25f, 0}, {}, {2, 4}},
      {"one_kv_head", {2, 72, 96, 6, 1, 12, 130, 256, 12, 1, 0, 0, 1e-5f, 1, 0.28867513f, 0}, {}, {2, 3, 6}},
      {"biases", {2, 48, 72, 12, 6, 8, 61, 256, 8, 0, 0, 0, 1e-5f, 1, 0.35355339f, 0}, {{kQ, kK, kV, kO, kDown}, {}, kF32},
       {2, 3}},
      {"norms_and_windows", {2, 60, 132, 12, 12, 10, 200, 256, 8, 1, 1, 0, 1e-6f, 1, 0.31622777f, 0}, {{}, {0, 9}, kBF16},
       {2, 3, 4}},
  };
}

struct ShardedCase {
  ShardedModel model;
  int32_t shards;
  std::string mode;
  std::string scheme;
};

std::vector<ShardedCase> Cases() {
  std::vector<ShardedCase> cases;
  for (const ShardedModel& model : Models()) {
    for (int32_t shards : model.shards) {
      for (const char* mode : {"fast", "reference"}) {
        for (const char* scheme : {"replicate", "sharded"}) cases.push_back({model, shards, mode, scheme});
      }
    }
  }
  return cases;
}

// Ranks that divide by nothing, one that is less than the shards, and linears without any.
int32_t RankOf(int32_t layer, Target target) {
  constexpr int32_t kRanks[kTargets] = {5, 8, 1, 17, 3, 12, 7};
  return layer == 1 && target == kK ? 0 : kRanks[target];
}

class ShardedEngineTest : public ::testing::TestWithParam<ShardedCase> {
 protected:
  ShardedEngineTest() : harness_(GetParam().model.spec, 5, GetParam().mode, GetParam().model.options, 16 << 20) {}

  void Cut() {
    harness_.config().shards = GetParam().shards;
    harness_.config().lora_sharding = GetParam().scheme;
    harness_.Open();
  }
  void LoadTwo() {
    first_ = harness_.Load(0, RandomAdapter(harness_.spec(), 11, RankOf), 40);
    harness_.Load(1, RandomAdapter(harness_.spec(), 12, [](int32_t, Target t) { return t <= kV ? 16 : 0; }), 60);
  }
  Generation Make(int32_t slot, int32_t page, int32_t number = 1) {
    return {.prompt = harness_.Prompt(21, number), .slot = slot, .pages = {page}};
  }
  CollectiveCounts Counts(int32_t shard = 0) { return harness_.engine().engine(shard).collectives(); }

  // Three sequences in one batch, prompts in chunks: no adapter, one for all linears, one for some.
  std::vector<Generation> Answers(int32_t merged_slot = -1) {
    std::vector<Generation> all;
    if (merged_slot < 0) all.push_back(Make(-1, 0, 1));
    if (merged_slot < 0) all.push_back(Make(1, 2, 3));
    all.push_back(Make(merged_slot < 0 ? 0 : -1, 1, 2));
    std::vector<Generation*> pointers;
    for (Generation& one : all) pointers.push_back(&one);
    harness_.Generate(pointers, kTokens, 8, merged_slot);
    return all;
  }

  // Sums over shards have other roundings: a few of the logits' size each layer.
  static void ExpectClose(const std::vector<Generation>& expected, const std::vector<Generation>& actual) {
    ASSERT_EQ(expected.size(), actual.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(expected[i].tokens, actual[i].tokens) << "sequence " << i;
      for (int32_t t = 0; t < kTokens; ++t) {
        const auto& want = expected[i].logits[t];
        float size = 0;
        for (float value : want) size = std::max(size, std::abs(value));
        for (size_t v = 0; v < want.size(); ++v) {
          ASSERT_NEAR(want[v], actual[i].logits[t][v], 2e-5f * size) << "sequence " << i << ", token " << t << ", logit " << v;
        }
      }
    }
  }

  EngineHarness harness_;
  StagedAdapter first_;
};

TEST_P(ShardedEngineTest, AnswersAsOneShardDoes) {
  LoadTwo();
  const std::vector<Generation> expected = Answers();
  Cut();
  LoadTwo();
  ExpectClose(expected, Answers());
}

// Beside rows without an adapter and with a plain one. Where the head is cut, some shards have no words at all.
TEST_P(ShardedEngineTest, ComputesAllFormsOfAdaptersAsOneShardDoes) {
  const auto answers = [this] {
    LoadTwo();
    std::vector<Generation> all = {Make(-1, 0), Make(0, 1, 2)};
    int32_t page = 100;
    for (const testing::Form form : testing::kForms) {
      const auto slot = 2 + static_cast<int32_t>(form);
      page += static_cast<int32_t>(harness_.Load(slot, testing::FormedAdapter(harness_.spec(), 20 + slot, form), page).pages);
      all.push_back(Make(slot, slot, slot));
    }
    std::vector<Generation*> pointers;
    for (Generation& one : all) pointers.push_back(&one);
    harness_.Generate(pointers, kTokens, 8);
    return all;
  };
  const std::vector<Generation> expected = answers();
  Cut();
  ExpectClose(expected, answers());
  for (size_t i = 3; i < expected.size(); ++i) EXPECT_NE(expected[i].logits[0], expected[0].logits[0]);
}

TEST_P(ShardedEngineTest, MergesAsOneShardDoes) {
  const auto merged = [this] {
    LoadTwo();
    StepBuilder merge;
    harness_.Run(merge.Merge(0));
    return Answers(0);
  };
  const std::vector<Generation> expected = merged();
  Cut();
  Result<int64_t> before = harness_.engine().WeightsDigest();
  ExpectClose(expected, merged());
  EXPECT_EQ(before.value(), harness_.engine().WeightsDigest().value());
  EXPECT_EQ(Counts()[kGatherFactors] > 0, GetParam().scheme == "sharded");
}

TEST_P(ShardedEngineTest, ARowDoesNotDependOnItsCompany) {
  Cut();
  LoadTwo();
  const std::vector<Generation> together = Answers();
  Generation alone = Make(0, 1, 2);
  harness_.Generate({&alone}, kTokens);
  for (int32_t t = 0; t < kTokens; ++t) EXPECT_TRUE(SameBits(alone.logits[t], together.back().logits[t])) << t;
}

TEST_P(ShardedEngineTest, CollectivesAreAsFewAsTheSchemeAllows) {
  Cut();
  LoadTwo();
  const int32_t layers = harness_.spec().layers;
  const bool sharded = GetParam().scheme == "sharded";
  const auto of_step = [&](std::initializer_list<int32_t> slots) {
    const CollectiveCounts before = Counts();
    StepBuilder step;
    int32_t page = 0;
    for (int32_t slot : slots) {
      Generation g = Make(slot, page++);
      harness_.AddRows(step, g, 1000);
    }
    harness_.Run(step);
    CollectiveCounts counts = Counts();
    for (int32_t what = 0; what < kCollectives; ++what) counts[what] -= before[what];
    for (int32_t shard = 1; shard < GetParam().shards; ++shard) EXPECT_EQ(Counts(shard), Counts());
    return counts;
  };
  EXPECT_EQ(of_step({-1, -1}), (CollectiveCounts{2 * layers, 1, 0, 0, 0}));
  EXPECT_EQ(of_step({-1, 1}), (CollectiveCounts{2 * layers, 1, sharded ? layers : 0, 0, 0}));  // q, k and v in one
  EXPECT_EQ(of_step({0, 1}), (CollectiveCounts{2 * layers, 1, sharded ? 2 * layers : 0, sharded ? 2 * layers : 0, 0}));
}

TEST_P(ShardedEngineTest, AnAdapterTakesItsPartOfEachShard) {
  const testing::TensorSet adapter = RandomAdapter(harness_.spec(), 3, [](int32_t, Target) { return 48; });
  const int64_t whole = harness_.Stage(adapter).pages * harness_.engine().Limits().page_bytes;
  Cut();
  const StagedAdapter staged = harness_.Stage(adapter);
  const int64_t all = staged.pages * harness_.engine().Limits().page_bytes;
  EXPECT_EQ(staged.bytes, all);
  EXPECT_EQ(harness_.engine().staged_bytes(), all);
  if (GetParam().scheme == "sharded") {
    EXPECT_LE(all, whole * 3 / 2);  // what is more is rounding: to pages, and of tiles to 16 columns
  } else {
    EXPECT_LE(all, whole * GetParam().shards);
  }
  EXPECT_TRUE(harness_.engine().Release(staged.handle).ok());
  EXPECT_EQ(harness_.engine().staged_bytes(), 0);
}

TEST_P(ShardedEngineTest, PagesAreCopiedAndMovedInAllShards) {
  Cut();
  Generation original = Make(-1, 0);
  harness_.Generate({&original}, 1);
  StepBuilder copy;
  copy.CopyPage(0, 1).Export({0, 1});
  const testing::ResultReader exported = harness_.Run(copy);
  const std::vector<uint8_t> bytes(exported.page_bytes().begin(), exported.page_bytes().end());
  ASSERT_EQ(static_cast<int64_t>(bytes.size()), 2 * harness_.engine().Limits().page_bytes);
  StepBuilder import;
  harness_.Run(import.Import({2, 3}, bytes));
  std::vector<std::vector<float>> logits;
  for (int32_t page : {0, 1, 2, 3}) {
    StepBuilder step;
    step.Sequence({original.tokens.back()}, 21, {page}, 21).Segment().Sample();
    harness_.Run(step);
    logits.push_back(harness_.keeper().rows[0]);
  }
  for (const auto& one : logits) EXPECT_TRUE(SameBits(one, logits[0]));
}

TEST_P(ShardedEngineTest, PenaltiesLogProbabilitiesAndLateMasksHoldInAllShards) {
  const auto draw = [this] {
    LoadTwo();
    Generation g = Make(0, 0);
    g.params = {.temperature = 0.8f, .top_k = 20, .repetition = 1.3f, .presence = 0.5f, .seed = 77, .top_logprobs = 3};
    g.scratch = 2;
    harness_.Generate({&g}, 12, 8);
    StepBuilder step;  // the token before it comes from the step in flight
    step.Sequence({g.tokens.back()}, static_cast<int32_t>(g.tokens.size()) - 1, g.pages, 21, 2).Segment({{0, 1.0f}}).Sample(g.params);
    EXPECT_TRUE(harness_.Begin(step).ok());
    StepBuilder next;
    next.Sequence({-1}, static_cast<int32_t>(g.tokens.size()), g.pages, 21, 2).Segment({{0, 1.0f}}).Sample(g.params, -1, 0);
    EXPECT_TRUE(harness_.Begin(next.Late()).ok());
    g.tokens.push_back(harness_.Await().drawn_ids()[0]);
    testing::LateBuilder late(harness_.next_step() - 1, harness_.spec().vocab);
    EXPECT_TRUE(harness_.engine().Late(late.Mask({17, 40}).Bias({{17, 1000.0f}}).Build()).ok());
    const testing::ResultReader result = harness_.Await();
    EXPECT_EQ(result.top_ids().size(), 2u);
    g.tokens.push_back(result.drawn_ids()[0]);
    return g.tokens;
  };
  const std::vector<int32_t> expected = draw();
  EXPECT_EQ(expected.back(), 17);
  Cut();
  EXPECT_EQ(draw(), expected);
}

TEST_P(ShardedEngineTest, AFaultOfAStepIsOneOfAllShards) {
  Cut();
  StepBuilder step;
  step.Sequence({5}, 10, {0}, 20).Segment().Sample();  // nothing was ever written for positions 0 to 9
  ASSERT_TRUE(harness_.Begin(step).ok());
  const testing::ResultReader result = harness_.Await();
  EXPECT_EQ(result.header().status, CH_INVALID_ARGUMENT);
  EXPECT_NE(result.fault().find("row 0"), std::string::npos) << result.fault();
  Generation g = Make(-1, 1);
  harness_.Generate({&g}, 2);  // still serving
}

class Thrower final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float>, int64_t) override {
    if (op == kOpSwiGlu && layer == 1) throw std::runtime_error("a device has gone");
  }
};

TEST_P(ShardedEngineTest, AShardThatFailsFailsAll) {
  Cut();
  Thrower thrower;
  const int32_t last = GetParam().shards - 1;
  harness_.engine().engine(last).SetObserver(&thrower);
  Generation g = Make(-1, 0);
  StepBuilder step;
  harness_.AddRows(step, g, 1000);
  ASSERT_TRUE(harness_.Begin(step).ok());
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  const Status status = harness_.engine().Await(out, &bytes);
  EXPECT_EQ(status.code(), CH_DEAD);
  EXPECT_EQ(status.message(), Format("shard %d: the engine thread failed: a device has gone", last));
  StepBuilder more;
  more.Sequence({5}, 0, {1}, 20).Segment().Sample();
  EXPECT_EQ(harness_.Begin(more).code(), CH_DEAD);
}

TEST_P(ShardedEngineTest, DestroyingEndsWhatWasBegun) {
  Cut();
  StepBuilder step;
  step.Sequence({5}, 0, {0}, 20).Segment().Sample();
  ASSERT_TRUE(harness_.Begin(step).ok());
  StepBuilder waits;
  waits.Sequence({-1}, 1, {0}, 20).Segment().Sample();
  ASSERT_TRUE(harness_.Begin(waits.Late()).ok());  // its late buffer never comes
  harness_.Open();
}

INSTANTIATE_TEST_SUITE_P(Shards, ShardedEngineTest, ::testing::ValuesIn(Cases()), [](const auto& info) {
  return Format("%s_%d_%s_%s", info.param.model.name, info.param.shards, info.param.mode.c_str(),
                info.param.scheme.c_str());
});

class ShardedCreateTest : public ::testing::Test {
 protected:
  static Status Create(const ModelSpec& spec, int32_t shards, const std::string& scheme, int64_t pool_bytes = 1 << 20) {
    testing::TensorSet model = testing::RandomModel(spec, 1);
    AlignedBytes manifest;
    manifest.Assign(model.BuildFor("memory"));
    Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
    testing::MemorySpans spans(model.data);
    EngineConfig config;
    config.shards = shards;
    config.lora_sharding = scheme;
    config.pool_bytes = pool_bytes;
    return ShardedEngine::Create(config, view.value(), spans).status();
  }
};

TEST_F(ShardedCreateTest, SaysWhatDoesNotDivideAndWhatWouldDo) {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  const ModelSpec spec{1, 50, 96, 12, 6, 8, 61, 256, 8, 0, 0, 0, 1e-5f, 1, 0.35f, 0};
  EXPECT_EQ(Create(spec, 5, "replicate").message(),
            "shards=5: this model cannot be cut into 5: its 12 query heads do not divide; possible: 1, 2, 3, 6, 12");
  EXPECT_NE(Create(spec, 4, "replicate").message().find("6 key/value heads neither divide"), std::string::npos);
  EXPECT_NE(Create(spec, 3, "sharded").message().find("hidden width of 50 does not divide"), std::string::npos);
  EXPECT_TRUE(Create(spec, 12, "replicate").ok());  // each key/value head in two shards
  ModelSpec narrow = spec;
  narrow.intermediate = 97;
  EXPECT_NE(Create(narrow, 2, "replicate").message().find("MLP's width of 97"), std::string::npos);
}

TEST_F(ShardedCreateTest, OneShardsFailureIsTheAnswer) {
  const Status status = Create(testing::SmallSpec(), 2, "replicate", 100);
  EXPECT_EQ(status.code(), CH_INVALID_ARGUMENT);
  EXPECT_NE(status.message().find("pool_bytes=50 holds no page"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace chorale
