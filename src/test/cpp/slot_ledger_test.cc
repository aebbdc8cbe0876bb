#include "step/slot_ledger.h"

#include <gtest/gtest.h>

#include "testing/step_builder.h"

namespace chorale {
namespace {

using testing::StepBuilder;

constexpr int32_t kSlots = 4, kPages = 16, kGroups = 3;

class SlotLedgerTest : public ::testing::Test {
 protected:
  // Parses the step and advances the ledger by it; the message of the refusal, or "".
  std::string Advance(const StepBuilder& step) {
    StepLimits limits;
    limits.page_count = kPages;
    limits.page_tokens = 4;
    limits.page_bytes = 16;
    limits.vocab = 10;
    limits.context_max = 32;
    limits.layer_groups = kGroups;
    limits.slots_max = kSlots;
    limits.scratch_max = 1;
    limits.rows_max = limits.sequences_max = limits.samples_max = 8;
    limits.top_logprobs_max = limits.vocab;
    std::vector<uint8_t> buffer = step.Build();
    auto view = StepView::Parse(buffer, limits);
    EXPECT_TRUE(view.ok()) << view.status().message();
    return ledger_.Advance(view.value()).message();
  }

  static StepBuilder Uses(int32_t slot, int32_t page = 15) {
    return StepBuilder().Sequence({1}, 0, {page}, 1).Segment({{slot, 1.0f}});
  }

  SlotLedger ledger_{kSlots, kPages, kGroups};
};

#define EXPECT_REFUSED(message, step) EXPECT_NE(Advance(step).find(message), std::string::npos) << Advance(step)

TEST_F(SlotLedgerTest, AnAdapterIsUsableWhenAllItsGroupsAreThere) {
  EXPECT_REFUSED("slot 1 has 0 of 3 layer groups", Uses(1));
  EXPECT_EQ(Advance(StepBuilder().Load(1, 7, {2, 3}, 0, 1)), "");
  EXPECT_REFUSED("slot 1 has 1 of 3 layer groups", Uses(1));
  EXPECT_EQ(Advance(StepBuilder().Load(1, 7, {}, 1, 2)), "");
  EXPECT_EQ(Advance(Uses(1).Load(1, 7, {2, 3}, 2, 3)), "") << "resident by the moves of the very step";
  EXPECT_EQ(ledger_.groups(1), 3);
  EXPECT_EQ(ledger_.handle(1), 7);
  EXPECT_EQ(ledger_.pages(1).size(), 2u);
  EXPECT_EQ(Advance(Uses(1)), "");
  EXPECT_EQ(Advance(StepBuilder().Drop(1)), "");
  EXPECT_REFUSED("slot 1 has 0 of 3 layer groups", Uses(1));
}

TEST_F(SlotLedgerTest, LoadsGoOnAsTheyBegan) {
  EXPECT_REFUSED("from layer group 1, but 0 are resident", StepBuilder().Load(1, 7, {2}, 1, 2));
  EXPECT_EQ(Advance(StepBuilder().Load(1, 7, {2}, 0, 1)), "");
  EXPECT_REFUSED("from layer group 0, but 1 are resident", StepBuilder().Load(1, 7, {2}, 0, 1));
  EXPECT_REFUSED("from layer group 2, but 1 are resident", StepBuilder().Load(1, 7, {}, 2, 3));
  EXPECT_REFUSED("goes on with handle 8", StepBuilder().Load(1, 8, {}, 1, 2));
  EXPECT_REFUSED("other pages", StepBuilder().Load(1, 7, {3}, 1, 2));
}

TEST_F(SlotLedgerTest, APageHasOneOwner) {
  EXPECT_EQ(Advance(StepBuilder().Load(1, 7, {2, 3}, 0, 3)), "");
  EXPECT_REFUSED("page_ids[0]: page 3 belongs to the adapter of slot 1", Uses(1, 3));
  EXPECT_REFUSED("page 2, which belongs to the adapter of slot 1", StepBuilder().Load(2, 8, {4, 2}, 0, 3));
  EXPECT_REFUSED("page 5, which belongs to the adapter of slot 2", StepBuilder().Load(2, 8, {5, 5}, 0, 3));
  EXPECT_REFUSED("moves[0]: writes page 3", StepBuilder().CopyPage(9, 3));
  EXPECT_REFUSED("moves[0]: writes page 2", StepBuilder().Import({2}, std::vector<uint8_t>(16)));
  EXPECT_EQ(Advance(StepBuilder().CopyPage(3, 9)), "") << "reading is no harm";
  EXPECT_EQ(Advance(StepBuilder().Drop(1).Load(2, 8, {3}, 0, 3)), "") << "moves are done in order";
  EXPECT_EQ(Advance(Uses(2, 2)), "") << "a dropped page is free";
}

TEST_F(SlotLedgerTest, ARefusedStepChangesNothing) {
  EXPECT_EQ(Advance(StepBuilder().Load(1, 7, {2}, 0, 3)), "");
  EXPECT_REFUSED("DROP of slot 3, which is free", StepBuilder().Drop(1).Load(2, 8, {2}, 0, 3).Drop(3));
  EXPECT_EQ(ledger_.groups(1), 3);
  EXPECT_EQ(ledger_.groups(2), 0);
  EXPECT_REFUSED("page 2 belongs to the adapter of slot 1", Uses(1, 2));
}

TEST_F(SlotLedgerTest, TheMergedSlotIsTheOneThatWasMerged) {
  EXPECT_REFUSED("MERGE of slot 1, of which 0 of 3", StepBuilder().Merge(1));
  EXPECT_EQ(Advance(StepBuilder().Load(1, 7, {2}, 0, 3).Merge(1)), "");
  EXPECT_EQ(ledger_.merged_slot(), 1);
  EXPECT_EQ(Advance(StepBuilder().Merged(1)), "");
  EXPECT_EQ(Advance(StepBuilder()), "") << "an unmerged step may run beside shadow weights";
  EXPECT_REFUSED("merged_slot is 2, but slot 1 is merged", StepBuilder().Merged(2));
  EXPECT_REFUSED("UNMERGE comes first", StepBuilder().Drop(1));
  EXPECT_REFUSED("merged_slot is 1, but slot -1 is merged", StepBuilder().Unmerge().Merged(1));
  EXPECT_EQ(Advance(StepBuilder().Unmerge().Drop(1)), "");
}

}  // namespace
}  // namespace chorale
