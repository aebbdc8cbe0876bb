// Steps in order, two at a time; moves of KV pages; late buffers; penalties; what is refused and what is a fault.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Generation;
using testing::SameBits;
using testing::StepBuilder;

class EngineTest : public ::testing::Test {
 protected:
  EngineHarness harness_{testing::SmallSpec(), 9};

  Generation Make(std::vector<int32_t> pages, int32_t length = 20) {
    return {.prompt = harness_.Prompt(length, 2), .pages = std::move(pages)};
  }
  // A step that feeds a token (or, negative, a draw of the step before) at a position of the sequence in page 0.
  StepBuilder Decode(int32_t token, int32_t position, int32_t page = 0) {
    StepBuilder step;
    step.Sequence({token}, position, {page}, 20).Segment().Sample();
    return step;
  }
};

TEST_F(EngineTest, TwoStepsInFlightDrawWhatOneDraws) {
  Generation plain = Make({1});
  harness_.Generate({&plain}, 12);

  Generation ahead = Make({0});
  StepBuilder first;
  harness_.AddRows(first, ahead, 1000);
  ASSERT_TRUE(harness_.Begin(first).ok());
  std::vector<int32_t> drawn;
  for (int32_t t = 1; t < 12; ++t) {
    StepBuilder next = Decode(-1, 19 + t);
    ASSERT_TRUE(harness_.Begin(next).ok());
    if (t == 1) {
      StepBuilder third = Decode(-1, 21);
      EXPECT_EQ(harness_.Begin(third).code(), CH_INVALID_ARGUMENT);  // two are in flight
    }
    drawn.push_back(harness_.Await().drawn_ids()[0]);
  }
  drawn.push_back(harness_.Await().drawn_ids()[0]);
  EXPECT_EQ(drawn, std::vector<int32_t>(plain.tokens.begin() + 20, plain.tokens.end()));
}

TEST_F(EngineTest, RefusesWhatIsOutOfOrder) {
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  EXPECT_EQ(harness_.engine().Await(out, &bytes).code(), CH_INVALID_ARGUMENT);
  Generation g = Make({0});
  harness_.Generate({&g}, 1);
  StepBuilder early = Decode(3, 20);
  EXPECT_EQ(harness_.engine().Begin(early.Id(harness_.next_step() + 1).Build()).code(), CH_INVALID_ARGUMENT);
  StepBuilder late = Decode(3, 20);
  EXPECT_EQ(harness_.engine().Begin(late.Id(harness_.next_step() - 1).Build()).code(), CH_INVALID_ARGUMENT);
  StepBuilder wrong = Decode(-2, 20);  // the step before drew one
  EXPECT_EQ(harness_.Begin(wrong).code(), CH_INVALID_ARGUMENT);
  StepBuilder right = Decode(-1, 20);
  harness_.Run(right);
}

TEST_F(EngineTest, AResultThatDoesNotFitIsKept) {
  StepBuilder step = Decode(5, 0);
  ASSERT_TRUE(harness_.Begin(step).ok());
  std::vector<uint8_t> out(16);
  int64_t bytes = 0;
  EXPECT_EQ(harness_.engine().Await(out, &bytes).code(), CH_RESOURCE_EXHAUSTED);
  out.resize(bytes);
  EXPECT_TRUE(harness_.engine().Await(out, &bytes).ok());
}

TEST_F(EngineTest, CopiedAndImportedPagesContinueTheirSequence) {
  Generation original = Make({0});
  harness_.Generate({&original}, 1);
  StepBuilder copy;
  copy.CopyPage(0, 1).Export({0});
  const testing::ResultReader exported = harness_.Run(copy);
  const std::vector<uint8_t> bytes(exported.page_bytes().begin(), exported.page_bytes().end());
  StepBuilder import;
  import.Import({2}, bytes);
  harness_.Run(import);
  std::vector<std::vector<float>> logits;
  for (int32_t page : {0, 1, 2}) {
    StepBuilder step = Decode(original.tokens.back(), 20, page);
    harness_.Run(step);
    logits.push_back(harness_.keeper().rows[0]);
  }
  EXPECT_TRUE(SameBits(logits[0], logits[1]));
  EXPECT_TRUE(SameBits(logits[0], logits[2]));
}

TEST_F(EngineTest, HiddenRowsAreTheStateAfterTheFinalNorm) {
  StepBuilder step;
  step.Sequence(harness_.Prompt(9, 1), 0, {0}, 9).Segment().Sample();
  step.hidden_rows = {8, 2};
  const testing::ResultReader result = harness_.Run(step);
  const int32_t hidden = harness_.spec().hidden;
  ASSERT_EQ(static_cast<int32_t>(result.hidden().size()), 2 * hidden);
  const std::vector<float> last(result.hidden().begin(), result.hidden().begin() + hidden);
  const std::vector<float> third(result.hidden().begin() + hidden, result.hidden().end());
  StepBuilder shorter;
  shorter.Sequence(harness_.Prompt(3, 1), 0, {1}, 3).Segment();
  // The first three tokens of the longer prompt, and so the same state at row 2.
  shorter.token_ids = {step.token_ids[0], step.token_ids[1], step.token_ids[2]};
  shorter.hidden_rows = {2};
  const testing::ResultReader again = harness_.Run(shorter);
  EXPECT_TRUE(SameBits(third, {again.hidden().begin(), again.hidden().end()}));
  EXPECT_FALSE(SameBits(third, last));
}

TEST_F(EngineTest, LateMasksAndBiasDecideTheDraw) {
  StepBuilder step = Decode(5, 0);
  step.Late();
  step.sample_mask[0] = 0;
  ASSERT_TRUE(harness_.Begin(step).ok());
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  EXPECT_EQ(harness_.engine().Await(out, &bytes).code(), CH_INVALID_ARGUMENT);  // it would wait for ever
  testing::LateBuilder wrong(harness_.next_step(), harness_.spec().vocab);
  EXPECT_EQ(harness_.engine().Late(wrong.Mask({1}).Build()).code(), CH_INVALID_ARGUMENT);
  testing::LateBuilder late(harness_.next_step() - 1, harness_.spec().vocab);
  late.Mask({17, 40}).Bias({{17, 1000.0f}});
  ASSERT_TRUE(harness_.engine().Late(late.Build()).ok());
  EXPECT_EQ(harness_.engine().Late(late.Build()).code(), CH_INVALID_ARGUMENT);  // once is enough
  EXPECT_EQ(harness_.Await().drawn_ids()[0], 17);
}

TEST_F(EngineTest, ARowWithoutCandidatesDrawsNothingAndHarmsNobody) {
  StepBuilder step;
  step.Sequence({5}, 0, {0}, 1).Segment().Sample({}, -1, 0);
  step.Sequence({6}, 0, {1}, 1).Segment().Sample();
  step.Late();
  ASSERT_TRUE(harness_.Begin(step).ok());
  testing::LateBuilder late(harness_.next_step() - 1, harness_.spec().vocab);
  ASSERT_TRUE(harness_.engine().Late(late.Mask({3}).Bias({{3, -INFINITY}}).Bias({}).Build()).ok());
  const testing::ResultReader result = harness_.Await();
  ASSERT_EQ(result.header().status, CH_OK) << result.fault();
  EXPECT_EQ(result.drawn_ids()[0], -1);
  EXPECT_GE(result.drawn_ids()[1], 0);
  // The next step may have been planned before anybody knew.
  StepBuilder next;
  next.Sequence({-1}, 1, {0}, 1).Segment().Sample();
  next.Sequence({-2}, 1, {1}, 1).Segment().Sample();
  harness_.Run(next);
}

TEST_F(EngineTest, PenaltiesCountWhatWasFed) {
  // Greedy with a penalty that no logit outweighs: no token twice, and none of the prompt.
  Generation g = Make({0}, 6);
  g.params.repetition = 1e6f;
  g.params.presence = 2;
  g.scratch = 3;
  Generation plain = Make({1}, 6);
  harness_.Generate({&g, &plain}, 20);
  for (size_t i = 6; i < g.tokens.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(g.tokens[i], g.tokens[j]);
  }
  // Preempted and recomputed in a used slot: the same tokens.
  Generation again{.prompt = g.prompt, .pages = {2}, .params = g.params, .scratch = 3, .tokens = g.tokens};
  again.tokens.resize(15);
  harness_.Generate({&again}, 5, 4);
  EXPECT_EQ(std::vector<int32_t>(again.tokens.begin(), again.tokens.begin() + 20),
            std::vector<int32_t>(g.tokens.begin(), g.tokens.begin() + 20));
  // RESET forgets: the next token is what a sequence without a past gets.
  StepBuilder step = Decode(g.tokens[19], 19);
  step.seq_scratch = {3};
  step.sample_params[0] = g.params;
  step.Reset(3);
  const int32_t forgotten = harness_.Run(step).drawn_ids()[0];
  EXPECT_NE(std::find(g.tokens.begin(), g.tokens.end(), forgotten), g.tokens.end());
}

TEST_F(EngineTest, UnwrittenPagesAreAFaultOfTheStepThatReadsThem) {
  StepBuilder step = Decode(5, 10);  // nothing was ever written for positions 0 to 9
  ASSERT_TRUE(harness_.Begin(step).ok());
  StepBuilder next = Decode(-1, 11);
  ASSERT_TRUE(harness_.Begin(next).ok());
  const testing::ResultReader result = harness_.Await();
  EXPECT_EQ(result.header().status, CH_INVALID_ARGUMENT);
  EXPECT_NE(result.fault().find("row 0"), std::string::npos) << result.fault();
  const testing::ResultReader dependent = harness_.Await();
  EXPECT_EQ(dependent.header().status, CH_INVALID_ARGUMENT);
  EXPECT_NE(dependent.fault().find("that step failed"), std::string::npos) << dependent.fault();
  Generation g = Make({1});
  harness_.Generate({&g}, 2);  // still serving
}

TEST_F(EngineTest, PhasesAddUp) {
  Generation g = Make({0});
  StepBuilder step;
  harness_.AddRows(step, g, 1000);
  const testing::ResultReader result = harness_.Run(step);
  const auto phases = result.phase_nanos();
  EXPECT_GT(phases[kPhaseForward], 0);
  EXPECT_LE(phases[kPhaseMoves] + phases[kPhaseForward] + phases[kPhaseSample], phases[kPhaseTotal]);
}

TEST_F(EngineTest, KeepsTheLastStepsOnDisk) {
  testing::TempDirectory directory;
  harness_.config().record_dir = directory.File("");
  harness_.config().record_steps = 3;
  harness_.Open();
  for (int32_t t = 0; t < 8; ++t) {
    StepBuilder step = Decode(5, t);
    harness_.Run(step);
  }
  StepBuilder refused = Decode(5, 8);
  refused.Drop(0);  // nothing is in that slot
  EXPECT_FALSE(harness_.Begin(refused).ok());
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory.File(""))) files.push_back(entry.path().filename());
  std::sort(files.begin(), files.end());
  EXPECT_EQ(files, (std::vector<std::string>{"step-6.bin", "step-7.bin"}));
  StepBuilder last = Decode(5, 7);
  const std::vector<uint8_t> expected = last.Id(7).Build();
  std::ifstream file(directory.File("step-7.bin"), std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(bytes, expected);
}

TEST_F(EngineTest, SaysWhyAStepCannotBeKept) {
  testing::TempDirectory directory;
  std::filesystem::create_symlink("/dev/full", directory.File("config.txt"));
  const StepRecorder recorder(directory.File(""), 3);
  const std::vector<uint8_t> few(10);  // fit a buffer: the disk is found full when the file is closed
  const Status status = recorder.Write("config.txt", few);
  EXPECT_NE(status.message().find("No space left on device"), std::string::npos) << status.message();
}

TEST_F(EngineTest, AuditNeedsPoison) {
  harness_.config().poison = 0;
  harness_.Open();
  EXPECT_EQ(harness_.engine().PoisonPages(std::vector<int32_t>{0}).code(), CH_INVALID_ARGUMENT);
  EXPECT_EQ(harness_.engine().PoisonAdapter(1).code(), CH_INVALID_ARGUMENT);
  EXPECT_EQ(harness_.engine().WeightsDigest().status().code(), CH_INVALID_ARGUMENT);
  harness_.config().poison = 1;
  harness_.Open();
  EXPECT_EQ(harness_.engine().PoisonPages(std::vector<int32_t>{1 << 20}).code(), CH_INVALID_ARGUMENT);
}

TEST_F(EngineTest, DestroyingEndsWhatWasBegun) {
  StepBuilder step = Decode(5, 0);
  ASSERT_TRUE(harness_.Begin(step).ok());
  StepBuilder waits = Decode(-1, 1);
  waits.Late();
  ASSERT_TRUE(harness_.Begin(waits).ok());  // its late buffer never comes
  harness_.Open();
}

}  // namespace
}  // namespace chorale
