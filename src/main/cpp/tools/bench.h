// Bench: the measurements of chorale_bench on one engine.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "testing/step_builder.h"
#include "tools/bench_model.h"
#include "tools/history.h"

namespace chorale {

class Bench {
 public:
  explicit Bench(const BenchOptions& options);
  void Run();

 private:
  using Clock = std::chrono::steady_clock;

  struct Stream {
    std::vector<int32_t> pages;
  };
  struct Times {
    std::vector<double> wall, device, drawing;  // milliseconds of each step
  };
  struct StepTime {
    double total, moves, drawing;  // milliseconds by the engine's own account
  };
  // May add moves to decode step t.
  using Extra = std::function<void(testing::StepBuilder& step, int64_t t)>;

  static void AddSegment(testing::StepBuilder& step, int64_t adapter);  // -1: of the base model
  int32_t TakePage();
  std::vector<int32_t> TakePages(int64_t count);
  void LoadAdapters();
  void FillContexts();
  void AddPrompt(testing::StepBuilder& step, const std::vector<int32_t>& pages, int64_t first, int64_t count) const;
  // Which adapter a sequence of the batch has; -1: none. Those of one lie together.
  static int64_t AdapterOf(int64_t sequence, int64_t batch, int64_t adapters) {
    return adapters == 0 ? -1 : sequence * adapters / batch;
  }
  Times DecodeSteps(int64_t batch, int64_t adapters, int64_t steps, const Extra& extra = {});
  void Begin(testing::StepBuilder& step);
  StepTime Await();

  // Prompts of `tokens` tokens in one step, several times.
  void Prefill(int64_t tokens, int64_t adapters);
  // The prompts of a whole batch with their adapters, in as few steps as they fit into.
  void Prompts(int64_t batch, int64_t adapters);
  // Milliseconds of a step.
  double Decode(int64_t batch, int64_t adapters, double base);
  // So many streams come and go, each with a prompt of its own.
  void Churn(int64_t streams, int64_t adapters);
  // The first adapter is merged and taken out again, several times.
  void Merge();
  // A batch decodes while adapters stream through slots of their own.
  void Upload(int64_t batch, const std::vector<StagedAdapter>& staged);
  // A prompt whose adapter comes with the step, beside one whose adapter is there.
  void ColdStart(const std::vector<StagedAdapter>& staged);

  std::string Model() const;
  std::string Adapters(int64_t count) const;
  void PrintCounters(const BackendCounters& after) const;

  static double Since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  }

  const BenchOptions options_;
  BenchModel model_;
  ShardedEngine& engine_;
  const History history_;
  const MemoryRoofs roofs_;
  std::string roofs_text_;
  std::vector<Stream> streams_;
  std::vector<int32_t> prefill_pages_;
  int32_t next_page_ = 0;
  int64_t next_step_ = 0;
  BackendCounters counters_;  // when the steps that count began
  std::vector<uint8_t> out_ = std::vector<uint8_t>(1 << 20);
};

double Median(std::vector<double> values);

}  // namespace chorale
