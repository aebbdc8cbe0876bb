// Every rule of StepView::Parse and LateView::Parse: what is right passes, and each single lie is refused by name.
#include "step/step_view.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "testing/step_builder.h"

namespace chorale {
namespace {

using testing::LateBuilder;
using testing::StepBuilder;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

StepLimits Limits() {
  StepLimits limits;
  limits.page_count = 32;
  limits.page_tokens = 4;
  limits.page_bytes = 64;
  limits.vocab = 50;
  limits.context_max = 40;
  limits.window_max = 0;
  limits.layer_groups = 3;
  limits.slots_max = 6;
  limits.scratch_max = 3;
  limits.rows_max = 12;
  limits.sequences_max = 4;
  limits.samples_max = 5;
  limits.top_logprobs_max = 40;
  limits.previous_samples = 2;
  return limits;
}

// A prefill of five tokens, a decode row that takes its id from the step before, and a shared prefix page.
StepBuilder Valid() {
  StepBuilder step;
  step.Id(7).Late();
  step.Sequence({1, 2, 3, 4, 5}, 4, {9, 3, 5}, 9, 0).Segment({{2, 1.0f}, {4, -1.0f}});
  step.Sample({.temperature = 0.5f, .top_k = 3, .presence = 1}, 1).Sample({}, 4, 0);
  step.Sequence({-2}, 6, {9, 4}, 4).Segment();
  step.Sample({.top_p = 0.5f, .top_logprobs = 3});
  step.hidden_rows = {5, 0};
  step.Load(1, 11, {20, 21}, 0, 2).Drop(2).CopyPage(22, 23).Export({24, 25});
  step.Import({26, 27}, std::vector<uint8_t>(128)).Merge(3, 0.5f).Unmerge().Reset(2);
  return step;
}

Status ParseStep(const std::vector<uint8_t>& buffer, const StepLimits& limits = Limits()) {
  auto view = StepView::Parse(buffer, limits);
  return view.ok() ? Status::Ok() : view.status();
}

TEST(StepView, GivesBackWhatWasWritten) {
  std::vector<uint8_t> buffer = Valid().Build();
  auto parsed = StepView::Parse(buffer, Limits());
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const StepView& view = parsed.value();
  EXPECT_EQ(view.step_id(), 7);
  EXPECT_TRUE(view.expects_late());
  EXPECT_EQ(view.merged_slot(), -1);
  EXPECT_EQ(view.rows(), 6);
  EXPECT_EQ(view.sequences(), 2);
  EXPECT_EQ(view.segments(), 2);
  EXPECT_EQ(view.samples(), 3);
  EXPECT_EQ(view.token_ids()[5], -2);
  EXPECT_EQ(view.positions()[4], 8);
  EXPECT_EQ(view.PagesOf(1).size(), 2u);
  EXPECT_EQ(view.PagesOf(1)[1], 4);
  EXPECT_EQ(view.segment_scales()[1], -1.0f);
  EXPECT_EQ(view.ParamsOf(0).top_k, 3);
  EXPECT_EQ(view.ParamsOf(0).presence, 1.0f);
  EXPECT_EQ(view.ParamsOf(2).top_p, 0.5f);
  EXPECT_EQ(view.ParamsOf(2).top_logprobs, 3);
  EXPECT_EQ(view.moves().size(), 8u);
  EXPECT_EQ(view.PagesOf(view.moves()[3])[1], 25);
}

TEST(StepView, TakesAStepOfNothing) {
  EXPECT_TRUE(ParseStep(StepBuilder().Build()).ok());
  StepBuilder absent;  // the start arrays too
  absent.seq_token_start = absent.seq_page_start = absent.segment_start = absent.segment_slot_start = {};
  EXPECT_TRUE(ParseStep(absent.Build()).ok());
}

TEST(StepView, TakesDeadPagesOfAWindow) {
  StepLimits limits = Limits();
  limits.window_max = 8;  // position 15 sees 8 to 15: page 1, tokens 4 to 7, is dead; at position 14 it is not
  StepBuilder dead;
  dead.Sequence({1}, 15, {-1, -1, 3, 4}, 4).Segment();
  EXPECT_TRUE(ParseStep(dead.Build(), limits).ok()) << ParseStep(dead.Build(), limits).message();
  StepBuilder read;
  read.Sequence({1}, 14, {-1, -1, 3, 4}, 4).Segment();
  EXPECT_NE(ParseStep(read.Build(), limits).message().find("page_ids[1]: -1"), std::string::npos);
  limits.window_max = 0;
  EXPECT_NE(ParseStep(dead.Build(), limits).message().find("page_ids[0]: -1"), std::string::npos);
}

TEST(StepView, RefusesEveryTruncation) {
  std::vector<uint8_t> whole = Valid().Build();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + bytes);
    EXPECT_FALSE(ParseStep(cut).ok()) << bytes;
    if (bytes < sizeof(StepHeader)) continue;
    reinterpret_cast<StepHeader*>(cut.data())->total_bytes = static_cast<int64_t>(bytes);
    bool only_padding_is_gone = bytes + kSectionAlign > whole.size();
    EXPECT_TRUE(!ParseStep(cut).ok() || only_padding_is_gone) << bytes;
  }
}

TEST(StepView, RefusesAMisalignedBuffer) {
  std::vector<uint8_t> whole = Valid().Build();
  std::vector<uint8_t> shifted(whole.size() + 8);
  std::memcpy(shifted.data() + 8, whole.data(), whole.size());
  auto view = StepView::Parse(std::span<const uint8_t>(shifted).subspan(8), Limits());
  ASSERT_FALSE(view.ok());
  EXPECT_NE(view.status().message().find("address"), std::string::npos);
}

struct Lie {
  std::string name;
  std::string message;  // a part of the refusal
  std::function<void(StepBuilder&)> tell;
};

std::vector<Lie> StepLies() {
  return {
      {"Magic", "magic is", [](auto& s) { s.header.magic = 1; }},
      {"Version", "ABI version is 2", [](auto& s) { s.header.abi_version = 2; }},
      {"SectionCount", "section_count is 3", [](auto& s) { s.header.section_count = 3; }},
      {"Flags", "unknown flags 0x2", [](auto& s) { s.header.flags = 2; }},
      {"StepId", "step_id is -1", [](auto& s) { s.header.step_id = -1; }},
      {"Reserved", "reserved is 1", [](auto& s) { s.header.reserved = 1; }},
      {"WeightMode", "weight_mode is 2", [](auto& s) { s.header.weight_mode = 2; }},
      {"MergedSlotUnmerged", "merged_slot is 2 in an unmerged step", [](auto& s) { s.header.merged_slot = 2; }},
      {"MergedSlotRange", "merged_slot 6 is outside", [](auto& s) { s.Merged(6); }},
      {"MergedSlotNone", "merged_slot -1 is outside", [](auto& s) { s.Merged(-1); }},
      {"RowsMax", "token_ids: 13 elements are more than rows_max", [](auto& s) { s.token_ids.resize(13); }},
      {"PositionsCount", "positions: 5 elements instead of T = 6", [](auto& s) { s.positions.pop_back(); }},
      {"SequencesMax", "sequences_max", [](auto& s) { s.seq_context.resize(5); }},
      {"TokenStartCount", "seq_token_start: 4", [](auto& s) { s.seq_token_start.push_back(6); }},
      {"TokenStartFirst", "seq_token_start[0]: is 1", [](auto& s) { s.seq_token_start[0] = 1; }},
      {"TokenStartEmpty", "seq_token_start[1]: 0", [](auto& s) { s.seq_token_start[1] = 0; }},
      {"TokenStartBack", "seq_token_start[1]: -2147483648", [](auto& s) { s.seq_token_start[1] = INT32_MIN; }},
      {"TokenStartEnd", "seq_token_start[2]: ends at 7", [](auto& s) { s.seq_token_start[2] = 7; }},
      {"PromptCount", "seq_prompt: 1", [](auto& s) { s.seq_prompt.pop_back(); }},
      {"ScratchCount", "seq_scratch: 3", [](auto& s) { s.seq_scratch.push_back(-1); }},
      {"TokenVocab", "token_ids[1]: 50 is outside", [](auto& s) { s.token_ids[1] = 50; }},
      {"TokenPrevious", "token_ids[1]: -3 means sample 2", [](auto& s) { s.token_ids[1] = -3; }},
      {"TokenLeast", "token_ids[1]: -2147483648 means", [](auto& s) { s.token_ids[1] = INT32_MIN; }},
      {"PositionNegative", "positions[0]: -1", [](auto& s) { s.positions[0] = -1; }},
      {"PositionGap", "positions[2]: 7 does not follow 5", [](auto& s) { s.positions[2] = 7; }},
      {"PositionRepeated", "positions[2]: 5 does not follow 5", [](auto& s) { s.positions[2] = 5; }},
      {"PositionBeyond", "positions[5]: 40", [](auto& s) { s.positions[5] = 40, s.seq_context[1] = 41; }},
      {"Context", "seq_context[1]: is 8", [](auto& s) { s.seq_context[1] = 8; }},
      {"PromptNegative", "seq_prompt[0]: -1", [](auto& s) { s.seq_prompt[0] = -1; }},
      {"PromptBeyond", "seq_prompt[0]: 41", [](auto& s) { s.seq_prompt[0] = 41; }},
      {"ScratchRange", "seq_scratch[1]: 3", [](auto& s) { s.seq_scratch[1] = 3; }},
      {"ScratchNegative", "seq_scratch[1]: -2", [](auto& s) { s.seq_scratch[1] = -2; }},
      {"ScratchTwice", "seq_scratch[1]: slot 0 is another", [](auto& s) { s.seq_scratch[1] = 0; }},
      {"PageStartCount", "seq_page_start: 2", [](auto& s) { s.seq_page_start.pop_back(); }},
      {"PageStartBack", "seq_page_start[2]: 2 is less", [](auto& s) { s.seq_page_start[2] = 2; }},
      {"PageStartEnd", "seq_page_start[2]: ends at 6", [](auto& s) { s.seq_page_start[2] = 6; }},
      {"PagesTooFew", "sequence 0 has 2 pages, its 9 tokens need 3", [](auto& s) { s.seq_page_start[1] = 2; }},
      {"PageBeyond", "page_ids[0]: 32", [](auto& s) { s.page_ids[0] = 32; }},
      {"PageNegative", "page_ids[0]: -2", [](auto& s) { s.page_ids[0] = -2; }},
      {"PageDead", "page_ids[0]: -1 for tokens from 0", [](auto& s) { s.page_ids[0] = -1; }},
      {"PageWrittenTwice", "page_ids[2]: page 5 is written at page_ids[4]", [](auto& s) { s.page_ids[4] = 5; }},
      {"PageWrittenAndRead", "page_ids[3]: page 3 is written at", [](auto& s) { s.page_ids[3] = 3; }},
      {"PageWrittenAndReadInOne", "page_ids[0]: page 5 is written at", [](auto& s) { s.page_ids[0] = 5; }},
      {"SegmentFirst", "segment_start[0]: is 1", [](auto& s) { s.segment_start[0] = 1; }},
      {"SegmentEmpty", "segment_start[2]: 5", [](auto& s) { s.segment_start[2] = 5; }},
      {"SegmentEnd", "segment_start[2]: ends at 7", [](auto& s) { s.segment_start[2] = 7; }},
      {"SegmentsNone", "segment_start: 0", [](auto& s) { s.segment_start.clear(); }},
      {"SlotStartCount", "segment_slot_start: 2", [](auto& s) { s.segment_slot_start.pop_back(); }},
      {"SlotStartEnd", "segment_slot_start[2]: ends at 1", [](auto& s) { s.segment_slot_start = {0, 1, 1}; }},
      {"ScalesCount", "segment_scales: 1", [](auto& s) { s.segment_scales.pop_back(); }},
      {"SlotRange", "segment_slots[1]: 6", [](auto& s) { s.segment_slots[1] = 6; }},
      {"SlotNegative", "segment_slots[1]: -1", [](auto& s) { s.segment_slots[1] = -1; }},
      {"SlotTwice", "segment_slots[1]: slot 2 is twice in segment 0", [](auto& s) { s.segment_slots[1] = 2; }},
      {"ScaleNan", "segment_scales[0]: nan", [](auto& s) { s.segment_scales[0] = kNan; }},
      {"SamplesMax", "sample_row: 6 elements are more than samples_max", [](auto& s) { s.sample_row.resize(6); }},
      {"SampleCount", "sample_temperature: 2", [](auto& s) { s.sample_params.pop_back(); }},
      {"MaskCount", "sample_mask: 2", [](auto& s) { s.sample_mask.pop_back(); }},
      {"RowBeyond", "sample_row[2]: 6", [](auto& s) { s.sample_row[2] = 6; }},
      {"RowNegative", "sample_row[0]: -1", [](auto& s) { s.sample_row[0] = -1; }},
      {"RowBack", "sample_row[1]: 0 is below", [](auto& s) { s.sample_row[1] = 0; }},
      {"TemperatureNegative", "sample_temperature[1]: -1", [](auto& s) { s.sample_params[1].temperature = -1; }},
      {"TemperatureNan", "sample_temperature[1]: nan", [](auto& s) { s.sample_params[1].temperature = kNan; }},
      {"TemperatureInf", "sample_temperature[1]: inf", [](auto& s) { s.sample_params[1].temperature = kInf; }},
      {"TopK", "sample_top_k[1]: -1", [](auto& s) { s.sample_params[1].top_k = -1; }},
      {"TopPZero", "sample_top_p[1]: 0", [](auto& s) { s.sample_params[1].top_p = 0; }},
      {"TopPBeyond", "sample_top_p[1]: 1.5", [](auto& s) { s.sample_params[1].top_p = 1.5f; }},
      {"TopPNan", "sample_top_p[1]: nan", [](auto& s) { s.sample_params[1].top_p = kNan; }},
      {"MinP", "sample_min_p[1]: -0.5", [](auto& s) { s.sample_params[1].min_p = -0.5f; }},
      {"MinPBeyond", "sample_min_p[1]: 2", [](auto& s) { s.sample_params[1].min_p = 2; }},
      {"Repetition", "sample_repetition[1]: 0", [](auto& s) { s.sample_params[1].repetition = 0; }},
      {"Presence", "sample_presence[1]: inf", [](auto& s) { s.sample_params[1].presence = kInf; }},
      {"Frequency", "sample_frequency[1]: nan", [](auto& s) { s.sample_params[1].frequency = kNan; }},
      {"TopLogprobs", "sample_top_logprobs[1]: -2", [](auto& s) { s.sample_params[1].top_logprobs = -2; }},
      {"TopLogprobsBeyond", "sample_top_logprobs[1]: 41", [](auto& s) { s.sample_params[1].top_logprobs = 41; }},
      {"PenaltyNoScratch", "seq_scratch[1]: is -1, but sample 2", [](auto& s) { s.sample_params[2].frequency = 1; }},
      {"MaskNegative", "sample_mask[1]: -2", [](auto& s) { s.sample_mask[1] = -2; }},
      {"MaskNotLate", "sample_mask[1]: mask 0 without", [](auto& s) { s.header.flags = 0; }},
      {"HiddenBeyond", "hidden_rows[1]: 6", [](auto& s) { s.hidden_rows[1] = 6; }},
      {"HiddenNegative", "hidden_rows[1]: -1", [](auto& s) { s.hidden_rows[1] = -1; }},
      {"HiddenMax", "hidden_rows: 13", [](auto& s) { s.hidden_rows.resize(13); }},
      {"MovePage", "move_pages[1]: 32", [](auto& s) { s.move_pages[1] = 32; }},
      {"MovePageNegative", "move_pages[1]: -1", [](auto& s) { s.move_pages[1] = -1; }},
      {"MoveKind", "moves[0]: unknown kind 9", [](auto& s) { s.moves[0].kind = 9; }},
      {"MoveReserved", "moves[0]: reserved is 5", [](auto& s) { s.moves[0].reserved = 5; }},
      {"MoveFirst", "moves[0]: pages [-1, +2)", [](auto& s) { s.moves[0].first = -1; }},
      {"MoveCount", "moves[0]: pages [0, +-1)", [](auto& s) { s.moves[0].count = -1; }},
      {"MovePagesBeyond", "moves[0]: pages [2147483647, +2)", [](auto& s) { s.moves[0].first = INT32_MAX; }},
      {"MoveSlot", "moves[0]: slot 6", [](auto& s) { s.moves[0].slot = 6; }},
      {"DropSlot", "moves[1]: slot -1", [](auto& s) { s.moves[1].slot = -1; }},
      {"MergeSlot", "moves[5]: slot 7", [](auto& s) { s.moves[5].slot = 7; }},
      {"LoadGroupsNone", "moves[0]: LOAD of layer groups [2, 2)", [](auto& s) { s.moves[0].a = 2; }},
      {"LoadGroupsBeyond", "moves[0]: LOAD of layer groups [0, 4)", [](auto& s) { s.moves[0].b = 4; }},
      {"LoadGroupsNegative", "moves[0]: LOAD of layer groups [-1, 2)", [](auto& s) { s.moves[0].a = -1; }},
      {"LoadNoPages", "moves[0]: the first LOAD", [](auto& s) { s.moves[0].count = 0; }},
      {"LoadHandle", "moves[0]: LOAD of handle 0", [](auto& s) { s.moves[0].handle = 0; }},
      {"CopyCount", "moves[2]: COPY_PAGE names 1", [](auto& s) { s.moves[2].count = 1; }},
      {"CopySelf", "moves[2]: COPY_PAGE of page 22 onto itself", [](auto& s) { s.move_pages[3] = 22; }},
      {"ExportNone", "moves[3]: EXPORT_PAGES of no pages", [](auto& s) { s.moves[3].count = 0; }},
      {"ExportTooMany", "exports more than the pool's 32",
       [](auto& s) { s.Export(std::vector<int32_t>(31, 1)); }},
      {"ImportNone", "moves[4]: IMPORT_PAGES of no pages", [](auto& s) { s.moves[4].count = 0; }},
      {"ImportShort", "moves[4]: IMPORT_PAGES of 2 pages", [](auto& s) { s.move_bytes.pop_back(); }},
      {"ImportNegative", "at byte -1", [](auto& s) { s.moves[4].handle = -1; }},
      {"ImportBeyond", "at byte 9223372036854775807", [](auto& s) { s.moves[4].handle = INT64_MAX; }},
      {"MergeScale", "moves[5]: MERGE with scale inf", [](auto& s) { s.moves[5].scale = kInf; }},
      {"ResetRange", "moves[7]: RESET_SEQUENCE of scratch slot 3", [](auto& s) { s.moves[7].a = 3; }},
      {"ResetNegative", "moves[7]: RESET_SEQUENCE of scratch slot -1", [](auto& s) { s.moves[7].a = -1; }},
  };
}

template <typename T>
std::string NameOf(const ::testing::TestParamInfo<T>& info) {
  return info.param.name;
}

class StepLie : public ::testing::TestWithParam<Lie> {};

TEST_P(StepLie, IsRefusedByName) {
  StepBuilder step = Valid();
  GetParam().tell(step);
  Status status = ParseStep(step.Build());
  EXPECT_EQ(status.code(), CH_INVALID_ARGUMENT);
  EXPECT_NE(status.message().find(GetParam().message), std::string::npos) << status.message();
}

INSTANTIATE_TEST_SUITE_P(All, StepLie, ::testing::ValuesIn(StepLies()), NameOf<Lie>);

// Lies in the header's size and in the section table, which the builder would not write.
struct TableLie {
  std::string name;
  std::string message;
  std::function<void(StepHeader&, SectionEntry*)> tell;
};

std::vector<TableLie> TableLies() {
  return {
      {"TotalBytes", "total_bytes is", [](auto& h, auto*) { ++h.total_bytes; }},
      {"CountNegative", "section positions: count is -1", [](auto&, auto* t) { t[kPositions].count = -1; }},
      {"CountHuge", "section positions: 9223372036854775807 elements",
       [](auto&, auto* t) { t[kPositions].count = INT64_MAX; }},
      {"CountWraps", "section moves: 461168601842738791 elements",  // times 40 bytes: just beyond 2^64
       [](auto&, auto* t) { t[kMoves].count = 461168601842738791; }},
      {"OffsetMisaligned", "is not a multiple of 16", [](auto&, auto* t) { t[kPositions].offset += 4; }},
      {"OffsetNegative", "section positions: offset -16", [](auto&, auto* t) { t[kPositions].offset = -16; }},
      {"OffsetInTable", "section positions: offset 48 is outside", [](auto&, auto* t) { t[kPositions].offset = 48; }},
      {"OffsetZero", "section positions: offset 0 is outside", [](auto&, auto* t) { t[kPositions].offset = 0; }},
      {"OffsetHuge", "section positions: offset 9223372036854775792",
       [](auto&, auto* t) { t[kPositions].offset = INT64_MAX - 15; }},
      {"EndBeyond", "section move_bytes: 129 elements", [](auto&, auto* t) { t[kMoveBytes].count = 129; }},
      {"Overlap", "section positions: bytes",
       [](auto&, auto* t) { t[kPositions].offset = t[kTokenIds].offset; }},
  };
}

class StepTableLie : public ::testing::TestWithParam<TableLie> {};

TEST_P(StepTableLie, IsRefusedByName) {
  std::vector<uint8_t> buffer = Valid().Build();
  GetParam().tell(*reinterpret_cast<StepHeader*>(buffer.data()),
                  reinterpret_cast<SectionEntry*>(buffer.data() + sizeof(StepHeader)));
  Status status = ParseStep(buffer);
  EXPECT_NE(status.message().find(GetParam().message), std::string::npos) << status.message();
}

INSTANTIATE_TEST_SUITE_P(All, StepTableLie, ::testing::ValuesIn(TableLies()), NameOf<TableLie>);

LateBuilder ValidLate() {
  LateBuilder late(7, 50);
  late.Mask({0, 49}).Bias({}).Bias({{3, -kInf}, {9, 2.0f}}).Bias({{49, 1.0f}});
  return late;
}

TEST(LateView, GivesBackWhatWasWritten) {
  std::vector<uint8_t> step_bytes = Valid().Build();
  StepView step = StepView::Parse(step_bytes, Limits()).value();
  std::vector<uint8_t> buffer = ValidLate().Build();
  auto parsed = LateView::Parse(buffer, step, 50);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const LateView& late = parsed.value();
  EXPECT_EQ(late.masks(), 1);
  ASSERT_EQ(late.Mask(0).size(), 2u);
  EXPECT_EQ(late.Mask(0)[0], 1u);
  EXPECT_EQ(late.Mask(0)[1], 1u << 17);
  EXPECT_TRUE(late.BiasIds(0).empty());
  EXPECT_EQ(late.BiasIds(1)[1], 9);
  EXPECT_EQ(late.BiasValues(2)[0], 1.0f);

  LateBuilder no_bias(7, 50);
  buffer = no_bias.Mask({1}).Build();
  auto without = LateView::Parse(buffer, step, 50);
  ASSERT_TRUE(without.ok());
  EXPECT_TRUE(without.value().BiasIds(2).empty());
  EXPECT_TRUE(without.value().BiasValues(2).empty());
}

struct LateLie {
  std::string name;
  std::string message;
  std::function<void(LateBuilder&)> tell;
};

std::vector<LateLie> LateLies() {
  return {
      {"Magic", "late: magic", [](auto& l) { l.header.magic = kStepMagic; }},
      {"Version", "late: ABI version is 9", [](auto& l) { l.header.abi_version = 9; }},
      {"SectionCount", "late: section_count is 5", [](auto& l) { l.header.section_count = 5; }},
      {"StepId", "late: is for step 8, but step 7", [](auto& l) { l.header.step_id = 8; }},
      {"MaskCountNegative", "late: mask_count is -1", [](auto& l) { l.header.mask_count = -1; }},
      {"MaskCountHuge", "section mask_bits: 2 elements", [](auto& l) { l.header.mask_count = INT32_MAX; }},
      {"MaskMissing", "section sample_mask[1]: mask 0, but the late buffer has 0",
       [](auto& l) { l.header.mask_count = 0, l.mask_bits.clear(); }},
      {"MaskOfNothing", "mask 0 allows no token", [](auto& l) { l.mask_bits = {0, 0}; }},
      {"MaskOfNoToken", "mask 0 allows no token", [](auto& l) { l.mask_bits = {0, 1u << 18}; }},
      {"BiasStartCount", "section bias_start: 3", [](auto& l) { l.bias_start.pop_back(); }},
      {"BiasStartBack", "section bias_start[3]: 1 is less", [](auto& l) { l.bias_start[3] = 1; }},
      {"BiasStartEnd", "section bias_start[3]: ends at 4", [](auto& l) { l.bias_start[3] = 4; }},
      {"BiasValuesCount", "section bias_values: 2", [](auto& l) { l.bias_values.pop_back(); }},
      {"BiasIdBeyond", "section bias_ids[0]: 50", [](auto& l) { l.bias_ids[0] = 50; }},
      {"BiasIdNegative", "section bias_ids[0]: -1", [](auto& l) { l.bias_ids[0] = -1; }},
      {"BiasNan", "section bias_values[1]: nan", [](auto& l) { l.bias_values[1] = kNan; }},
      {"BiasInf", "section bias_values[1]: inf", [](auto& l) { l.bias_values[1] = kInf; }},
  };
}

class LateLieTest : public ::testing::TestWithParam<LateLie> {};

TEST_P(LateLieTest, IsRefusedByName) {
  std::vector<uint8_t> step_bytes = Valid().Build();
  StepView step = StepView::Parse(step_bytes, Limits()).value();
  LateBuilder late = ValidLate();
  GetParam().tell(late);
  std::vector<uint8_t> buffer = late.Build();
  auto parsed = LateView::Parse(buffer, step, 50);
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.status().message().find(GetParam().message), std::string::npos) << parsed.status().message();
}

INSTANTIATE_TEST_SUITE_P(All, LateLieTest, ::testing::ValuesIn(LateLies()), NameOf<LateLie>);

TEST(LateView, RefusesEveryTruncationAndAStepThatExpectsNone) {
  std::vector<uint8_t> step_bytes = Valid().Build();
  StepView step = StepView::Parse(step_bytes, Limits()).value();
  std::vector<uint8_t> whole = ValidLate().Build();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + bytes);
    EXPECT_FALSE(LateView::Parse(cut, step, 50).ok()) << bytes;
  }
  std::vector<uint8_t> plain_bytes = StepBuilder().Id(7).Build();
  StepView plain = StepView::Parse(plain_bytes, Limits()).value();
  auto parsed = LateView::Parse(whole, plain, 50);
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.status().message().find("does not expect one"), std::string::npos);
}

}  // namespace
}  // namespace chorale
