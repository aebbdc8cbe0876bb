// Adapters in the pool: loads by layer group, drops, merges; and proof that weights are read from their pages alone.
#include <gtest/gtest.h>

#include <cmath>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Generation;
using testing::RandomAdapter;
using testing::SameBits;
using testing::StepBuilder;

constexpr int32_t kTokens = 3;

class AdapterMovesTest : public ::testing::TestWithParam<const char*> {
 protected:
  AdapterMovesTest() : harness_(testing::SmallSpec(), 5, GetParam(), {}, 8 << 20) {}

  testing::TensorSet Adapter(uint64_t seed, int32_t rank = 12) {
    return RandomAdapter(harness_.spec(), seed, [rank](int32_t layer, Target t) { return layer == 1 && t > kV ? 0 : rank; });
  }
  Generation Make(int32_t slot) {
    Generation g{.prompt = harness_.Prompt(40, 1), .slot = slot, .pages = {next_page_}};
    ++next_page_;
    return g;
  }
  std::vector<std::vector<float>> LogitsOf(int32_t slot, int32_t merged_slot = -1) {
    Generation g = Make(slot);
    harness_.Generate({&g}, kTokens, 1000, merged_slot);
    return g.logits;
  }
  void ExpectSame(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(SameBits(a[i], b[i])) << "token " << i;
  }
  std::string FaultOf(int32_t slot) {
    Generation g = Make(slot);
    StepBuilder step;
    harness_.AddRows(step, g, 1000);
    EXPECT_TRUE(harness_.Begin(step).ok());
    const testing::ResultReader result = harness_.Await();
    return result.header().status == CH_OK ? "" : result.fault();
  }

  EngineHarness harness_;
  int32_t next_page_ = 40;
};

TEST_P(AdapterMovesTest, WeightsAreReadFromThePagesAlone) {
  const StagedAdapter staged = harness_.Load(0, Adapter(1), 0);
  const auto before = LogitsOf(0);
  ASSERT_TRUE(harness_.engine().PoisonAdapter(staged.handle).ok());
  ExpectSame(LogitsOf(0), before);
  ASSERT_TRUE(harness_.engine().PoisonPages(std::vector<int32_t>{0}).ok());
  EXPECT_NE(FaultOf(0).find("row 39"), std::string::npos) << FaultOf(0);
  ExpectSame(LogitsOf(-1), LogitsOf(-1));
}

TEST_P(AdapterMovesTest, LoadsGoLayerGroupByLayerGroup) {
  const StagedAdapter whole = harness_.Load(0, Adapter(1), 0);
  const StagedAdapter staged = harness_.Stage(Adapter(1));
  std::vector<int32_t> pages(staged.pages);
  std::iota(pages.begin(), pages.end(), static_cast<int32_t>(whole.pages));
  ASSERT_EQ(harness_.layer_groups(), 3);
  for (int32_t group = 0; group < 3; ++group) {
    Generation early = Make(1);
    StepBuilder use;
    harness_.AddRows(use, early, 1000);
    EXPECT_EQ(harness_.Begin(use).code(), CH_INVALID_ARGUMENT) << "slot 1 has only " << group << " layer groups";
    StepBuilder step;
    step.Load(1, staged.handle, group == 0 ? pages : std::vector<int32_t>{}, group, group + 1);
    const testing::ResultReader result = harness_.Run(step);
    EXPECT_EQ(std::vector<int32_t>(result.completed_loads().begin(), result.completed_loads().end()),
              (std::vector<int32_t>{1, group + 1}));
    if (group == 0) {  // the loads that follow keep it alive
      ASSERT_TRUE(harness_.engine().Release(staged.handle).ok());
    }
  }
  ExpectSame(LogitsOf(1), LogitsOf(0));
}

TEST_P(AdapterMovesTest, RefusesLoadsThatCannotBe) {
  const StagedAdapter staged = harness_.Stage(Adapter(1));
  StepBuilder unknown, few;
  unknown.Load(0, staged.handle + 1, std::vector<int32_t>(staged.pages, 0), 0, 3);
  EXPECT_EQ(harness_.Begin(unknown).code(), CH_INVALID_ARGUMENT);
  std::vector<int32_t> pages(staged.pages + 1);
  std::iota(pages.begin(), pages.end(), 0);
  few.Load(0, staged.handle, pages, 0, 3);
  const Status status = harness_.Begin(few);
  EXPECT_EQ(status.code(), CH_INVALID_ARGUMENT);
  EXPECT_NE(status.message().find(std::to_string(staged.pages + 1)), std::string::npos) << status.message();
  EXPECT_EQ(harness_.engine().Release(staged.handle + 1).code(), CH_INVALID_ARGUMENT);
  LogitsOf(-1);  // still serving
}

TEST_P(AdapterMovesTest, ADroppedAdapterIsPoisonedAndItsSlotIsFree) {
  harness_.Load(0, Adapter(1), 0);
  const auto first = LogitsOf(0);
  StepBuilder drop;
  drop.Drop(0);
  harness_.Run(drop);
  StepBuilder exported;
  exported.Export({0});
  const testing::ResultReader result = harness_.Run(exported);
  ASSERT_EQ(static_cast<int64_t>(result.page_bytes().size()), harness_.engine().geometry().page_bytes);
  EXPECT_TRUE(std::all_of(result.page_bytes().begin(), result.page_bytes().end(), [](uint8_t b) { return b == 0xff; }));
  harness_.Load(0, Adapter(2), 0);
  const auto second = LogitsOf(0);
  EXPECT_FALSE(SameBits(first[0], second[0]));
  // Drop and load in one step, with the steps that use them back to back.
  StepBuilder swap;
  const StagedAdapter again = harness_.Stage(Adapter(1));
  std::vector<int32_t> pages(again.pages);
  std::iota(pages.begin(), pages.end(), 0);
  swap.Drop(0).Load(0, again.handle, pages, 0, 3);
  harness_.Run(swap);
  ExpectSame(LogitsOf(0), first);
}

TEST_P(AdapterMovesTest, MergedIsUnmergedWithinRounding) {
  harness_.Load(0, Adapter(1), 0);
  harness_.Load(1, Adapter(2, 5), 20);
  const auto unmerged = LogitsOf(0), other = LogitsOf(1), base = LogitsOf(-1);
  StepBuilder merge;
  merge.Merge(0);
  harness_.Run(merge);
  const auto merged = LogitsOf(-1, 0);
  ASSERT_EQ(merged.size(), unmerged.size());
  for (size_t t = 0; t < merged.size(); ++t) {
    for (size_t i = 0; i < merged[t].size(); ++i) EXPECT_NEAR(merged[t][i], unmerged[t][i], 2e-5);
  }
  ExpectSame(LogitsOf(-1), base);  // unmerged steps go on meanwhile, to the bit
  ExpectSame(LogitsOf(1), other);
  // Mixture: a row of another adapter takes the merged one away again.
  Generation mixed = Make(-1);
  StepBuilder step;
  harness_.AddRows(step, mixed, 1000);
  step.segment_slot_start.back() = 2;
  step.segment_slots = {0, 1};
  step.segment_scales = {-1.0f, 1.0f};
  step.Merged(0);
  harness_.Run(step);
  for (size_t i = 0; i < other[0].size(); ++i) EXPECT_NEAR(harness_.keeper().rows[0][i], other[0][i], 5e-5);
}

TEST_P(AdapterMovesTest, MergeHasTheScaleOfItsMove) {
  harness_.Load(0, Adapter(1), 0);
  Generation half = Make(0);
  StepBuilder step;
  harness_.AddRows(step, half, 1000);
  step.segment_scales = {0.5f};
  harness_.Run(step);
  const std::vector<float> unmerged = harness_.keeper().rows[0];
  StepBuilder merge;
  merge.Merge(0, 0.5f);
  harness_.Run(merge);
  const auto merged = LogitsOf(-1, 0);
  for (size_t i = 0; i < unmerged.size(); ++i) EXPECT_NEAR(merged[0][i], unmerged[i], 2e-5);
}

TEST_P(AdapterMovesTest, TenThousandMergesLeaveTheBaseAsItWas) {
  const bool reference = std::string(GetParam()) == "reference";
  harness_.Load(0, Adapter(1, 2), 0);
  harness_.Load(1, Adapter(2, 1), 20);
  const auto base = LogitsOf(-1);
  const int64_t digest = harness_.engine().WeightsDigest().value();
  for (int32_t cycle = 0; cycle < (reference ? 50 : 10'000); ++cycle) {
    StepBuilder step;
    step.Merge(cycle % 2).Unmerge();
    harness_.Run(step);
  }
  EXPECT_EQ(harness_.engine().WeightsDigest().value(), digest);
  ExpectSame(LogitsOf(-1), base);
}

TEST_P(AdapterMovesTest, KvAndAdaptersShareEveryPage) {
  // Fill the pool with adapters but for one page, then drop them and fill it with one sequence: the same pages.
  const StagedAdapter staged = harness_.Stage(Adapter(1));
  const auto pool_pages = static_cast<int32_t>((8 << 20) / harness_.engine().geometry().page_bytes);
  StepBuilder load, drop;
  int32_t slot = 0, page = 0;
  for (; page + staged.pages < pool_pages; ++slot) {
    std::vector<int32_t> pages(staged.pages);
    std::iota(pages.begin(), pages.end(), page);
    page += static_cast<int32_t>(staged.pages);
    load.Load(slot, staged.handle, pages, 0, 3);
    drop.Drop(slot);
  }
  harness_.Run(load);
  next_page_ = pool_pages - 1;
  const auto last = LogitsOf(slot - 1);
  harness_.Run(drop);
  next_page_ = 0;
  const auto base = LogitsOf(-1);
  EXPECT_FALSE(SameBits(last[0], base[0]));
}

INSTANTIATE_TEST_SUITE_P(Paths, AdapterMovesTest, ::testing::Values("fast", "reference"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace chorale
