// Steps as a service has them: sequences come with prompts of many lengths, draw some tokens, go, and others take their
// places, so that hardly a step is like the one before.
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "tools/bench.h"

namespace chorale {
namespace {

constexpr int64_t kWarmPart = 4;  // of the steps, one in so many does not count: recordings are made, tables grow

// A stream's life, again and again: a pause, a prompt, then one token a step.
struct Life {
  int64_t turn = 0;
  int64_t pause = 0, prompt = 0, answer = 0;
  int64_t computed = 0;
  int32_t drawn_by = -1;  // sample of the step before

  Life(int64_t stream, int64_t number, const BenchOptions& options) : turn(number) {
    const int64_t spread = stream * 7919 + number * 104729;
    pause = spread % 5;
    prompt = 1 + spread % options.context;
    answer = 1 + spread / 3 % options.steps;
  }
  bool ended() const { return computed == prompt + answer; }
};

}  // namespace

void Bench::Churn(int64_t streams, int64_t adapters) {
  std::vector<Life> lives;
  for (int64_t i = 0; i < streams; ++i) lives.emplace_back(i, 0, options_);
  const int64_t page_tokens = engine_.geometry().page_tokens, first_counted = options_.churn / kWarmPart;
  int64_t tokens = 0, prompt_tokens = 0;
  // Rows of an adapter lie together: streams do, by AdapterOf.
  const auto add = [&](testing::StepBuilder& step, bool counts) {
    int64_t adapter = -1, rows = 0;
    for (int64_t i = 0; i < streams; ++i) {
      Life& life = lives[i];
      if (life.ended()) life = Life(i, life.turn + 1, options_);
      if (life.pause > 0) {
        --life.pause;
        continue;
      }
      const bool begins = life.computed == 0;
      const int64_t count = begins ? life.prompt : 1;
      if (rows + count > engine_.Limits().rows_max) continue;
      const int64_t own = AdapterOf(i, streams, adapters);
      if (own != adapter && rows > 0) AddSegment(step, adapter);
      adapter = own;
      if (begins) {
        AddPrompt(step, streams_[i].pages, 0, count);
      } else {
        const int64_t pages = life.computed / page_tokens + 1;
        step.Sequence({-(life.drawn_by + 1)}, static_cast<int32_t>(life.computed),
                      {streams_[i].pages.begin(), streams_[i].pages.begin() + pages}, static_cast<int32_t>(life.prompt));
      }
      life.drawn_by = static_cast<int32_t>(step.sample_row.size());
      step.Sample();
      life.computed += count;
      rows += count;
      tokens += counts ? 1 : 0;
      prompt_tokens += counts && begins ? count : 0;
    }
    if (rows > 0) AddSegment(step, adapter);
  };
  std::vector<double> times;
  int64_t in_flight = 0;
  auto last = Clock::now(), begin = last;
  for (int64_t t = 0; t < options_.churn; ++t) {
    testing::StepBuilder step;
    add(step, t >= first_counted);
    if (t == first_counted) counters_ = engine_.counters(), begin = Clock::now();
    Begin(step);
    if (++in_flight < 2) continue;
    Await();
    --in_flight;
    if (t > first_counted) times.push_back(Since(last));
    last = Clock::now();
  }
  Await();
  const double seconds = Since(begin) * 1e-3;
  const BackendCounters after = engine_.counters();
  std::vector<double> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  std::printf("churn of %" PRId64 " streams, %" PRId64 " adapters: %.3f ms a step (99th %.3f, most %.3f), %.0f tokens/s, beside "
              "%.0f prompt tokens/s\n",
              streams, adapters, Median(times), sorted[sorted.size() * 99 / 100], sorted.back(),
              static_cast<double>(tokens) / seconds, static_cast<double>(prompt_tokens) / seconds);
  if (options_.backend != "cpu") PrintCounters(after);
  std::fflush(stdout);
  history_.Record({"churn-step", Format("%s, %lld streams, prompts up to %lld tokens, answers up to %lld, %s", Model().c_str(),
                                        static_cast<long long>(streams), static_cast<long long>(options_.context),
                                        static_cast<long long>(options_.steps), Adapters(adapters).c_str()),
                   "ms", times, 0, roofs_text_});
}

}  // namespace chorale
