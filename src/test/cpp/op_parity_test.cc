// The fast path against the reference, operation by operation: each sees what the reference's operation before it made.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::Generation;
using testing::ModelOptions;
using testing::RandomAdapter;

struct OpRecord {
  Op op;
  int32_t layer;
  int64_t columns;
  std::vector<float> values;
};

class Recorder final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float> values, int64_t columns) override {
    records.push_back({op, layer, columns, {values.begin(), values.end()}});
  }
  std::vector<OpRecord> records;
};

// Compares each operation with the record, then puts the record's values in its place.
class Comparer final : public OpObserver {
 public:
  Comparer(std::vector<OpRecord> records, int64_t longest_sum) : records_(std::move(records)), sum_(longest_sum) {}

  void OnOp(Op op, int32_t layer, std::span<float> values, int64_t columns) override {
    ASSERT_LT(next_, records_.size());
    const OpRecord& expected = records_[next_++];
    ASSERT_EQ(op, expected.op);
    ASSERT_EQ(layer, expected.layer);
    ASSERT_EQ(values.size(), expected.values.size());
    for (size_t row = 0; row * columns < values.size(); ++row) {
      CheckRow(expected, values.subspan(row * columns, columns), row);
    }
    std::copy(expected.values.begin(), expected.values.end(), values.begin());
  }
  bool complete() const { return next_ == records_.size(); }

 private:
  // A sum of n products of random numbers has a rounding error of about sqrt(n) eps times its typical size, which is
  // that of its row; 8 covers what a few such sums one after another (LoRA, softmax) and a row's spread add.
  void CheckRow(const OpRecord& expected, std::span<const float> row, size_t index) const {
    const float* want = expected.values.data() + index * row.size();
    double squares = 0;
    for (size_t i = 0; i < row.size(); ++i) squares += static_cast<double>(want[i]) * want[i];
    const double size = std::sqrt(squares / static_cast<double>(row.size()));
    const double tolerance =
        8 * std::sqrt(static_cast<double>(sum_)) * std::numeric_limits<float>::epsilon() * std::max(size, 0.05);
    for (size_t i = 0; i < row.size(); ++i) {
      ASSERT_NEAR(row[i], want[i], tolerance)
          << kOpNames[expected.op] << " of layer " << expected.layer << ", row " << index << ", column " << i;
    }
  }

  std::vector<OpRecord> records_;
  int64_t sum_;
  size_t next_ = 0;
};

struct Case {
  const char* name;
  ModelSpec spec;
  ModelOptions options;
};

std::vector<Case> Cases() {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  return {
      {"gqa", {2, 64, 160, 4, 2, 16, 97, 256, 16, 0, 0, 0, 1e-5f, 1, 0.25f, 0}, {}},
      {"mha_odd_heads", {2, 80, 200, 5, 5, 16, 331, 256, 16, 1, 0, 0, 1e-6f, 1, 0.25f, 0}, {}},
      {"seven_heads_one_kv", {2, 112, 304, 7, 1, 16, 77, 256, 16, 0, 0, 0, 1e-6f, 1, 0.25f, 0}, {{kQ, kK, kV}, {}}},
      {"head_of_three", {2, 30, 41, 6, 3, 5, 33, 256, 4, 0, 1, 0, 1e-5f, 1, 0.4472136f, 0}, {}},
      {"head_of_48", {2, 64, 96, 3, 3, 48, 257, 256, 48, 1, 1, 0, 1e-6f, 1.1f, 0.14433757f, 0}, {}},
      {"window", {3, 64, 128, 4, 2, 16, 65, 256, 16, 0, 0, 0, 1e-5f, 1, 0.25f, 0}, {{}, {24, 0, 7}}},
      {"head_of_128", {1, 256, 512, 2, 1, 128, 512, 256, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}, {}},
      {"all_biases",
       {1, 36, 52, 2, 1, 18, 40, 256, 12, 0, 0, 0, 1e-5f, 1, 0.23570226f, 0},
       {{kQ, kK, kV, kO, kGate, kUp, kDown}, {}}},
      {"bf16", {2, 48, 96, 3, 1, 16, 64, 256, 16, 1, 0, 0, 1e-5f, 1, 0.25f, 0}, {{}, {}, kBF16}},
      {"one_of_everything", {1, 2, 1, 1, 1, 2, 3, 256, 2, 1, 0, 0, 1e-5f, 1, 0.70710678f, 0}, {}}};
}

// Three sequences, two with adapters of mixed ranks (one on some targets and layers only), one of them two at once.
void RunStep(EngineHarness& harness) {
  testing::StepBuilder step;
  int32_t page = 40;
  for (int32_t i = 0; i < 3; ++i) {
    const std::vector<int32_t> prompt = harness.Prompt(19 + 30 * i, i);
    std::vector<int32_t> pages;
    for (int32_t at = 0; at < static_cast<int32_t>(prompt.size()); at += harness.page_tokens()) pages.push_back(page++);
    step.Sequence(prompt, 0, pages, static_cast<int32_t>(prompt.size()));
    if (i == 0) step.Segment();
    if (i == 1) step.Segment({{0, 1.0f}});
    if (i == 2) step.Segment({{0, 0.5f}, {1, -1.0f}});
    step.Sample();
  }
  step.hidden_rows = {3, 20};
  harness.Run(step);
}

void LoadAdapters(EngineHarness& harness, uint64_t seed) {
  harness.Load(0, RandomAdapter(harness.spec(), seed, [](int32_t layer, Target t) { return 1 + (layer * 7 + t * 5) % 13; }), 0);
  harness.Load(1, RandomAdapter(harness.spec(), seed + 1, [](int32_t layer, Target t) {
                 return layer == 0 && t % 2 == 1 ? 0 : t == kQ ? 96 : 20;
               }), 60);
}

TEST(OpParityTest, FastFollowsReference) {
  for (const Case& c : Cases()) {
    for (uint64_t seed : {11, 12}) {
      SCOPED_TRACE(std::string(c.name) + ", seed " + std::to_string(seed));
      EngineHarness reference(c.spec, seed, "reference", c.options, 64 << 20);
      EngineHarness fast(c.spec, seed, "fast", c.options, 64 << 20);
      LoadAdapters(reference, seed);
      LoadAdapters(fast, seed);
      Recorder recorder;
      reference.engine().SetObserver(&recorder);
      RunStep(reference);
      ASSERT_FALSE(recorder.records.empty());
      Comparer comparer(std::move(recorder.records), std::max(c.spec.hidden, c.spec.intermediate));
      fast.engine().SetObserver(&comparer);
      RunStep(fast);
      EXPECT_TRUE(comparer.complete());
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace chorale
