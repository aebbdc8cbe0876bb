// Tensors without a file: what their numbers are, and that models and adapters made of them run.
#include "base/noise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/convert.h"
#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Generation;

TEST(Noise, IsAFunctionOfSeedAndIndex) {
  const Noise noise{.seed = 7, .mean = 0, .deviation = 0.5f};
  std::vector<float> whole(501), part(17), other(501);
  noise.Fill(0, 501, whole.data());  // most of it many at a time, the parts below a few
  for (int64_t first : {0, 1, 2, 3, 4, 50, 84, 257, 484}) {
    noise.Fill(first, 17, part.data());
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << first;
  }
  Noise{.seed = 8, .deviation = 0.5f}.Fill(0, 501, other.data());
  EXPECT_NE(whole, other);
}

TEST(Noise, HasItsMeanAndDeviation) {
  std::vector<float> values(1 << 20);
  Noise{.seed = 3, .mean = 1, .deviation = 0.25f}.Fill(0, std::ssize(values), values.data());
  double sum = 0, squares = 0, beyond_two = 0;
  for (float value : values) {
    sum += value;
    squares += (value - 1.0) * (value - 1.0);
    beyond_two += std::abs(value - 1.0) > 0.5 ? 1 : 0;
  }
  const auto count = static_cast<double>(values.size());
  EXPECT_NEAR(sum / count, 1, 0.002);
  EXPECT_NEAR(std::sqrt(squares / count), 0.25, 0.001);
  EXPECT_NEAR(beyond_two / count, 0.043, 0.005);  // a normal distribution has 0.0455
}

TEST(HostTensor, WithoutAFileIsOfItsRole) {
  const auto read = [](int32_t role, int32_t layer, int64_t rows, int64_t cols, int32_t dtype = kF32) {
    const SpanEntry span{role, layer, dtype, kNoFile, 5, rows * cols * DTypeBytes(dtype), rows, cols, 1, 0};
    testing::MemorySpans none({});
    std::vector<float> values(rows * cols);
    HostTensor::Of(span, none).value().Read(0, rows * cols, values.data());
    return values;
  };
  EXPECT_EQ(read(kRoleAttnNorm, 0, 1, 9), std::vector<float>(9, 1.0f));
  EXPECT_EQ(read(RoleOf(kRoleBias, kV), 0, 1, 9), std::vector<float>(9, 0.0f));
  const std::vector<float> q0 = read(RoleOf(kRoleWeight, kQ), 0, 64, 100), q1 = read(RoleOf(kRoleWeight, kQ), 1, 64, 100);
  EXPECT_NE(q0, q1);
  EXPECT_NE(q0, read(RoleOf(kRoleWeight, kK), 0, 64, 100));
  double squares = 0;
  for (float value : q0) squares += double{value} * value;
  EXPECT_NEAR(std::sqrt(squares / 6400), 0.1, 0.005);
  std::vector<float> rounded = q0;
  RoundTo(kBF16, 6400, rounded.data());
  EXPECT_EQ(read(RoleOf(kRoleWeight, kQ), 0, 64, 100, kBF16), rounded);
}

// A whole model and an adapter: the fast path follows the reference, activations keep their size, and the adapter counts.
TEST(HostTensor, WithoutAFileMakesAModelThatRuns) {
  std::vector<std::vector<float>> logits;
  for (const char* mode : {"reference", "fast"}) {
    EngineHarness harness(testing::SmallSpec(), testing::DummyModel(testing::SmallSpec(), 9, kBF16), mode);
    harness.Load(0, testing::DummyAdapter(testing::SmallSpec(), 4, 8, {kQ, kDown}), 0);
    for (int32_t slot : {-1, 0}) {
      Generation g;
      g.prompt = harness.Prompt(20, 3);
      g.slot = slot;
      g.pages = {40, 41};
      harness.Generate({&g}, 1);
      logits.push_back(g.logits[0]);
    }
  }
  double squares = 0;
  for (size_t i = 0; i < logits[0].size(); ++i) {
    squares += double{logits[0][i]} * logits[0][i];
    EXPECT_NEAR(logits[0][i], logits[2][i], 1e-4);
    EXPECT_NEAR(logits[1][i], logits[3][i], 1e-4);
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(logits[0].size())), 1, 0.3);
  EXPECT_NE(logits[0], logits[1]);
}

}  // namespace
}  // namespace chorale
