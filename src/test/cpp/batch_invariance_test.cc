// A row's logits are the same to the bit whatever shares its batch, however its prompt is cut, wherever its pages lie.
#include <gtest/gtest.h>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Generation;
using testing::RandomAdapter;
using testing::SameBits;

constexpr int32_t kTokens = 5;

class BatchInvarianceTest : public ::testing::TestWithParam<const char*> {
 protected:
  BatchInvarianceTest() : harness_(testing::SmallSpec(), 7, GetParam(), {{kQ}, {24, 0, 40}}, 8 << 20) {}

  // Adapters of ranks 1 to 70, on different targets.
  void LoadAdapters() {
    for (int32_t slot = 0; slot < 4; ++slot) {
      const StagedAdapter staged = harness_.Load(slot, RandomAdapter(harness_.spec(), 50 + slot, [slot](int32_t layer, Target t) {
        return (layer + t + slot) % 4 == 0 ? 0 : 1 + slot * 23;
      }), next_page_);
      next_page_ += static_cast<int32_t>(staged.pages);
    }
  }

  Generation Make(int32_t number, int32_t slot) {
    Generation g{.prompt = harness_.Prompt(1 + number * 37 % 90, number), .slot = slot};
    for (int32_t i = 0; i < 2; ++i) g.pages.push_back(next_page_++);
    if (number % 2 == 1) std::reverse(g.pages.begin(), g.pages.end());
    return g;
  }

  EngineHarness harness_;
  int32_t next_page_ = 0;
};

TEST_P(BatchInvarianceTest, RowsGetWhatTheyGetAlone) {
  LoadAdapters();
  std::vector<Generation> alone, together, chunked;
  for (int32_t i = 0; i < 10; ++i) alone.push_back(Make(i, i % 5 - 1));
  for (Generation& g : alone) harness_.Generate({&g}, kTokens);

  for (const Generation& g : alone) {  // the same in other pages
    Generation again{.prompt = g.prompt, .slot = g.slot, .pages = {next_page_ + 1, next_page_}};
    next_page_ += 2;
    together.push_back(again);
    chunked.push_back(again);
  }
  std::vector<Generation*> all;
  for (Generation& g : together) all.push_back(&g);
  harness_.Generate(all, kTokens);
  for (size_t i = 0; i < alone.size(); ++i) {
    ASSERT_EQ(together[i].tokens, alone[i].tokens);
    for (int32_t t = 0; t < kTokens; ++t) {
      ASSERT_TRUE(SameBits(together[i].logits[t], alone[i].logits[t])) << "sequence " << i << ", token " << t;
    }
  }
  for (int32_t chunk : {1, 7, 16}) {
    std::vector<Generation> cut = chunked;
    all.clear();
    for (Generation& g : cut) all.push_back(&g);
    harness_.Generate(all, kTokens, chunk);
    for (size_t i = 0; i < alone.size(); ++i) {
      for (int32_t t = 0; t < kTokens; ++t) {
        ASSERT_TRUE(SameBits(cut[i].logits[t], alone[i].logits[t])) << "chunks of " << chunk << ", sequence " << i;
      }
    }
  }
}

TEST_P(BatchInvarianceTest, AdaptersMayLieInAnyPages) {
  const auto ranks = [](int32_t layer, Target t) { return 40 + layer + t; };
  const StagedAdapter first = harness_.Load(0, RandomAdapter(harness_.spec(), 3, ranks), 0);
  ASSERT_GT(first.pages, 2);
  std::vector<int32_t> pages(first.pages);
  std::iota(pages.begin(), pages.end(), static_cast<int32_t>(first.pages));
  std::rotate(pages.begin(), pages.begin() + 1, pages.end());
  std::swap(pages[0], pages[1]);
  testing::StepBuilder step;
  step.Load(1, first.handle, pages, 0, harness_.layer_groups());
  harness_.Run(step);
  next_page_ = 2 * static_cast<int32_t>(first.pages);
  Generation in_order = Make(3, 0), permuted = Make(3, 1), base = Make(3, -1);
  harness_.Generate({&in_order}, kTokens);
  harness_.Generate({&permuted}, kTokens);
  harness_.Generate({&base}, kTokens);
  for (int32_t t = 0; t < kTokens; ++t) ASSERT_TRUE(SameBits(in_order.logits[t], permuted.logits[t]));
  EXPECT_FALSE(SameBits(in_order.logits[0], base.logits[0]));
}

INSTANTIATE_TEST_SUITE_P(Paths, BatchInvarianceTest, ::testing::Values("fast", "reference"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace chorale
