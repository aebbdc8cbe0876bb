// Each operation of one engine against the same of another, as they go.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cuda/cuda_cases.h"

namespace chorale {

struct OpRecord {
  Op op;
  int32_t layer;
  std::vector<float> values;
};

class Recorder final : public OpObserver {
 public:
  void OnOp(Op op, int32_t layer, std::span<float> values, int64_t) override {
    records.push_back({op, layer, {values.begin(), values.end()}});
  }
  std::vector<OpRecord> records;
};

// Compares each operation with the record, then puts the record's values in its place: an error stays where it was made.
// A linear sees its inputs rounded to 8 bits (relative error 1.7e-3 each), LoRA rounds its weights and v as well, and
// the logits of attention see two rounded factors; four times that is the limit.
class Comparer final : public OpObserver {
 public:
  explicit Comparer(std::span<const OpRecord> records) : records_(records) {}
  void OnOp(Op op, int32_t layer, std::span<float> values, int64_t) override {
    ASSERT_LT(next_, records_.size());
    const OpRecord& expected = records_[next_++];
    ASSERT_EQ(op, expected.op);
    ASSERT_EQ(layer, expected.layer);
    ASSERT_EQ(values.size(), expected.values.size());
    const double error = RelativeError(values, expected.values);
    EXPECT_LT(error, 1.4e-2) << kOpNames[op] << " of layer " << layer;
    EXPECT_FALSE(std::isnan(error)) << kOpNames[op] << " of layer " << layer;
    std::copy(expected.values.begin(), expected.values.end(), values.begin());
  }
  bool complete() const { return next_ == records_.size(); }

 private:
  const std::span<const OpRecord> records_;
  size_t next_ = 0;
};

// By case, so that a sanitizer, which is slow, may be given some.
class CudaComparisonTest : public CudaEngineTest, public ::testing::WithParamInterface<Case> {
 protected:
  // Loads adapters into engines on the CPU and on the GPU, runs the same on both, and compares each operation; with the
  // kernels that serve, then with plain ones.
  template <typename Load, typename Run>
  void EveryOperationFollowsTheReference(Load load, Run run) {
    const Case& c = GetParam();
    auto cpu = Cpu(c, 11);
    load(*cpu);
    Recorder recorder;
    cpu->engine().SetObserver(&recorder);
    run(*cpu);
    cpu->engine().SetObserver(nullptr);
    for (const std::string mode : {"fast", "reference"}) {
      SCOPED_TRACE(mode);
      auto cuda = Cuda(c, 11, mode);
      load(*cuda);
      Comparer comparer(recorder.records);
      cuda->engine().SetObserver(&comparer);
      run(*cuda);
      cuda->engine().SetObserver(nullptr);
      EXPECT_TRUE(comparer.complete());
      if (HasFatalFailure()) return;
    }
  }
};

}  // namespace chorale
