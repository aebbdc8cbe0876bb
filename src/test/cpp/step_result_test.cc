#include "step/step_result.h"

#include <gtest/gtest.h>

#include <vector>

#include "testing/result_reader.h"

namespace chorale {
namespace {

using testing::ResultReader;

TEST(StepResult, ComesBackAsItWasWritten) {
  const std::vector<int32_t> ids = {3, 9}, top_start = {0, 0, 3}, top_ids = {9, 1, 4}, loads = {2, 5};
  const std::vector<float> logprobs = {-0.5f, -1.5f}, top_logprobs = {-1, -2, -3}, hidden = {1, 2, 3, 4, 5};
  const std::vector<uint8_t> pages = {1, 2, 3};
  StepResult result;
  result.step_id = 12;
  result.drawn_ids = ids;
  result.drawn_logprobs = logprobs;
  result.top_start = top_start;
  result.top_ids = top_ids;
  result.top_logprobs = top_logprobs;
  result.hidden = hidden;
  result.completed_loads = loads;
  result.page_bytes = pages;
  result.phase_nanos = {10, 20, 30, 60};

  int64_t needed = 0;
  Status too_small = WriteResult(result, {}, &needed);
  EXPECT_EQ(too_small.code(), CH_RESOURCE_EXHAUSTED);
  std::vector<uint8_t> buffer(needed);
  int64_t written = 0;
  std::vector<uint8_t> short_by_one(needed - 1, 0xab);
  EXPECT_EQ(WriteResult(result, short_by_one, &written).code(), CH_RESOURCE_EXHAUSTED);
  EXPECT_EQ(short_by_one, std::vector<uint8_t>(needed - 1, 0xab)) << "nothing is written when it does not fit";
  ASSERT_TRUE(WriteResult(result, buffer, &written).ok());
  EXPECT_EQ(written, needed);

  ResultReader reader(buffer);
  EXPECT_EQ(reader.header().magic, kResultMagic);
  EXPECT_EQ(reader.header().abi_version, kAbiVersion);
  EXPECT_EQ(reader.header().total_bytes, needed);
  EXPECT_EQ(reader.header().step_id, 12);
  EXPECT_EQ(reader.header().status, CH_OK);
  EXPECT_EQ(reader.header().section_count, kResultSections);
  auto same = [](const auto& read, const auto& wrote) {
    EXPECT_TRUE(std::equal(read.begin(), read.end(), wrote.begin(), wrote.end()));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read.data()) % kSectionAlign, 0u);
  };
  same(reader.drawn_ids(), ids);
  same(reader.drawn_logprobs(), logprobs);
  same(reader.top_start(), top_start);
  same(reader.top_ids(), top_ids);
  same(reader.top_logprobs(), top_logprobs);
  same(reader.hidden(), hidden);
  same(reader.completed_loads(), loads);
  same(reader.page_bytes(), pages);
  same(reader.phase_nanos(), result.phase_nanos);
  EXPECT_EQ(reader.fault(), "");
}

TEST(StepResult, AFaultHasItsSentenceAndNothingElse) {
  std::vector<uint8_t> buffer(1024, 0xff);
  int64_t bytes = 0;
  ASSERT_TRUE(WriteFault(5, Status::Exhausted("no page is left"), buffer, &bytes).ok());
  buffer.resize(bytes);
  ResultReader reader(buffer);
  EXPECT_EQ(reader.header().step_id, 5);
  EXPECT_EQ(reader.header().status, CH_RESOURCE_EXHAUSTED);
  EXPECT_EQ(reader.fault(), "no page is left");
  EXPECT_TRUE(reader.drawn_ids().empty());
  EXPECT_TRUE(reader.phase_nanos().empty());
}

}  // namespace
}  // namespace chorale
