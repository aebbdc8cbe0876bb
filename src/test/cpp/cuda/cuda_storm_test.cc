// Sequences that come and go while adapters are loaded into pages that others have just left: two steps in flight, rows fed
// what the step before drew, pages taken again as soon as the rules allow. Each must draw what it draws alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <random>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::StepBuilder;

constexpr int32_t kSequences = 60, kTogether = 9, kAdapters = 7, kPrompt = 9;

ModelSpec Spec() { return {2, 512, 1280, 8, 2, 128, 999, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}; }

struct Sequence {
  int32_t number = 0;
  int32_t slot = 0;
  int32_t tokens = 0;          // to draw
  int32_t begun = 0;           // rows of steps that were begun, each of which draws one
  int32_t last_sample = -1;    // in the step begun last
  std::vector<int32_t> pages, adapter_pages;
  std::vector<int32_t> drawn;
  std::vector<float> logprobs;
};

class Storm {
 public:
  Storm(const std::string& directory, int32_t together)
      : together_(together),
        harness_(Spec(), testing::DummyModel(Spec(), 5, kBF16),
                 EngineConfig{.backend = "cuda", .library_dir = directory, .pool_bytes = int64_t{64} << 20}) {
    harness_.engine().SetObserver(nullptr);
    for (int32_t i = 0; i < kAdapters; ++i) {
      adapters_.push_back(harness_.Stage(testing::DummyAdapter(Spec(), 100 + i, 8 + 9 * i, {kQ, kV, kUp, kDown})));
    }
    // Hardly more pages than the sequences of a moment need, so that each has been somebody else's.
    int32_t pages = 0;
    for (int32_t i = 0; i < together; ++i) pages += 3 + static_cast<int32_t>(adapters_[kAdapters - 1].pages);
    for (int32_t page = 0; page < pages; ++page) free_.push_back(page);
    for (int32_t slot = 0; slot < together; ++slot) slots_.push_back(slot);
  }

  std::vector<Sequence> Run() {
    int32_t next = 0;
    while (next < kSequences || !running_.empty()) {
      StepBuilder step;
      for (int32_t slot : dropped_) step.Drop(slot);
      dropped_.clear();
      while (next < kSequences && static_cast<int32_t>(running_.size()) < together_ && Admit(step, next)) ++next;
      AddRows(step);
      if (!in_flight_.empty() && (step.token_ids.empty() || in_flight_.size() == 2)) Await();
      if (step.token_ids.empty() && step.moves.empty()) continue;
      EXPECT_TRUE(harness_.Begin(step).ok());
      in_flight_.push_back(rows_);
      if (in_flight_.size() == 2) Await();
    }
    while (!in_flight_.empty()) Await();
    std::sort(ended_.begin(), ended_.end(), [](const Sequence& a, const Sequence& b) { return a.number < b.number; });
    return ended_;
  }

 private:
  std::vector<int32_t> Take(int64_t count) {  // those given back last come first
    std::vector<int32_t> pages(free_.end() - count, free_.end());
    free_.resize(free_.size() - static_cast<size_t>(count));
    return pages;
  }

  bool Admit(StepBuilder& step, int32_t number) {
    const StagedAdapter& adapter = adapters_[number * 5 % kAdapters];
    if (slots_.empty() || static_cast<int64_t>(free_.size()) < adapter.pages + 3) return false;
    Sequence sequence{.number = number, .slot = slots_.back(), .tokens = 3 + number * 7 % 25};
    slots_.pop_back();
    sequence.adapter_pages = Take(adapter.pages);
    sequence.pages = Take(3);
    step.Load(sequence.slot, adapter.handle, sequence.adapter_pages, 0, harness_.layer_groups());
    running_.push_back(std::move(sequence));
    return true;
  }

  void AddRows(StepBuilder& step) {
    rows_.clear();
    for (Sequence& s : running_) {
      if (s.begun == s.tokens) continue;
      const int32_t position = s.begun == 0 ? 0 : kPrompt + s.begun - 1;
      const std::vector<int32_t> ids =
          s.begun == 0 ? harness_.Prompt(kPrompt, s.number) : std::vector<int32_t>{-(s.last_sample + 1)};
      const int32_t pages = (position + static_cast<int32_t>(ids.size()) + harness_.page_tokens() - 1) / harness_.page_tokens();
      step.Sequence(ids, position, {s.pages.begin(), s.pages.begin() + pages}, kPrompt);
      step.Segment({{s.slot, 1.0f}}).Sample({.top_logprobs = 0});
      s.last_sample = static_cast<int32_t>(rows_.size());
      ++s.begun;
      rows_.push_back(s.number);
    }
  }

  // Whoever has drawn all of his leaves; what he had is free once the step in flight has ended, too.
  void Await() {
    const testing::ResultReader result = harness_.Await();
    ASSERT_EQ(result.header().status, CH_OK) << result.fault();
    const std::vector<int32_t> rows = in_flight_.front();
    in_flight_.pop_front();
    for (size_t k = 0; k < rows.size(); ++k) {
      const auto s = std::find_if(running_.begin(), running_.end(), [&](const Sequence& r) { return r.number == rows[k]; });
      s->drawn.push_back(result.drawn_ids()[k]);
      s->logprobs.push_back(result.drawn_logprobs()[k]);
    }
    free_.insert(free_.end(), leaving_.begin(), leaving_.end());
    leaving_.clear();
    for (size_t i = 0; i < running_.size();) {
      Sequence& s = running_[i];
      if (static_cast<int32_t>(s.drawn.size()) < s.tokens) {
        ++i;
        continue;
      }
      leaving_.insert(leaving_.end(), s.pages.begin(), s.pages.end());
      leaving_.insert(leaving_.end(), s.adapter_pages.begin(), s.adapter_pages.end());
      dropped_.push_back(s.slot);
      slots_.push_back(s.slot);
      ended_.push_back(std::move(s));
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  const int32_t together_;
  EngineHarness harness_;
  std::vector<StagedAdapter> adapters_;
  std::vector<int32_t> free_, leaving_, slots_, dropped_;
  std::vector<Sequence> running_, ended_;
  std::vector<int32_t> rows_;                      // of the step at hand: whose
  std::deque<std::vector<int32_t>> in_flight_;
};

TEST(CudaStorm, EachDrawsWhatItDrawsAlone) {
  const char* directory = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
  if (directory == nullptr) GTEST_SKIP() << "CHORALE_CUDA_LIBRARY_DIR does not say where libchorale_cuda.so is";
  testing::TensorSet model = testing::DummyModel(Spec(), 5, kBF16);
  AlignedBytes manifest;
  manifest.Assign(model.BuildFor("none"));
  testing::MemorySpans none({});
  EngineConfig config;
  config.backend = "cuda";
  config.library_dir = directory;
  config.pool_bytes = 8 << 20;
  const auto probe = ShardedEngine::Create(config, ManifestView::ParseModel(manifest.bytes()).value(), none);
  if (!probe.ok() && probe.status().message().find("no device") != std::string::npos) GTEST_SKIP() << probe.status().message();

  const std::vector<Sequence> together = Storm(directory, kTogether).Run(), alone = Storm(directory, 1).Run();
  ASSERT_EQ(together.size(), static_cast<size_t>(kSequences));
  ASSERT_EQ(alone.size(), together.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    // Sums of other batches are in another order: a greedy choice may differ where two tokens are as good as equal, and
    // what follows then differs, too.
    for (size_t t = 0; t < alone[i].drawn.size(); ++t) {
      EXPECT_NEAR(together[i].logprobs[t], alone[i].logprobs[t], 0.05) << "sequence " << i << ", token " << t;
      if (together[i].drawn[t] != alone[i].drawn[t]) break;
    }
  }
}

}  // namespace
}  // namespace chorale
