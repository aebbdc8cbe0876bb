// Adapters on their way to the device while steps run.
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "tools/bench.h"

namespace chorale {
namespace {

constexpr int64_t kUploadSlots = 128;
constexpr int64_t kPromptTokens = 256;

}  // namespace

void Bench::ColdStart(const std::vector<StagedAdapter>& staged) {
  const auto slot = static_cast<int32_t>(model_.adapters.size());
  int64_t pages_most = 0;
  for (const StagedAdapter& adapter : staged) pages_most = std::max(pages_most, adapter.pages);
  const std::vector<int32_t> pages = TakePages(pages_most);
  const std::vector<int32_t> prompt =
      TakePages((kPromptTokens + engine_.geometry().page_tokens - 1) / engine_.geometry().page_tokens);
  double moves = 0;
  const auto run = [&](int64_t load) {
    testing::StepBuilder step;
    if (load > 0) step.Drop(slot);
    if (load >= 0) {
      const StagedAdapter& adapter = staged[load % std::ssize(staged)];
      step.Load(slot, adapter.handle, {pages.begin(), pages.begin() + adapter.pages}, 0, engine_.Limits().layer_groups);
    }
    AddPrompt(step, prompt, 0, kPromptTokens);
    step.Segment({{slot, 1.0f}}).Sample();
    const auto begin = Clock::now();
    Begin(step);
    moves = Await().moves;
    return Since(begin);
  };
  std::vector<double> cold, warm, cold_moves;
  for (int64_t repeat = 0; repeat < 20; ++repeat) {
    cold.push_back(run(repeat));
    cold_moves.push_back(moves);
    warm.push_back(run(-1));
  }
  testing::StepBuilder drop;
  drop.Drop(slot);
  Begin(drop);
  Await();
  const double load = roofs_.upload > 0 ? static_cast<double>(pages_most * engine_.geometry().page_bytes) / roofs_.upload * 1e3 : 0;
  const double group = load / engine_.Limits().layer_groups;
  std::printf("first token of %" PRId64 " prompt tokens: adapter there %.2f ms, adapter coming %.2f ms (+%.2f; its load "
              "takes %.2f ms, of the first layer group %.2f; before its first launch %.2f)\n",
              kPromptTokens, Median(warm), Median(cold), Median(cold) - Median(warm), load, group, Median(cold_moves));
  history_.Record({"cold-first-token", Format("%s, %lld prompt tokens, %s", Model().c_str(),
                                              static_cast<long long>(kPromptTokens), Adapters(1).c_str()),
                   "ms", cold, Median(warm) + group, roofs_text_});
}

void Bench::Upload(int64_t batch, const std::vector<StagedAdapter>& staged) {
  const auto first_slot = static_cast<int32_t>(model_.adapters.size());
  std::vector<std::vector<int32_t>> pages;
  int64_t pages_each = 0;
  for (const StagedAdapter& adapter : staged) pages_each = std::max(pages_each, adapter.pages);
  for (int64_t slot = 0; slot < kUploadSlots; ++slot) pages.push_back(TakePages(pages_each));
  const double alone = Median(DecodeSteps(batch, 0, options_.steps).wall);
  const auto bytes_each = static_cast<double>(pages_each * engine_.geometry().page_bytes);
  const double wanted = roofs_.upload > 0 ? static_cast<double>(options_.upload_percent) / 100 * roofs_.upload * alone * 1e-3 / bytes_each : 1;  // a step
  double due = 0;
  int64_t loads = 0;
  const Times beside = DecodeSteps(batch, 0, options_.steps, [&](testing::StepBuilder& step, int64_t) {
    for (due += wanted; due >= 1; due -= 1, ++loads) {
      const StagedAdapter& adapter = staged[loads % std::ssize(staged)];
      const auto slot = static_cast<int32_t>(loads % kUploadSlots);
      if (loads >= kUploadSlots) step.Drop(first_slot + slot);
      step.Load(first_slot + slot, adapter.handle, {pages[slot].begin(), pages[slot].begin() + adapter.pages}, 0,
                engine_.Limits().layer_groups);
    }
  });
  const double together = Median(beside.wall);
  const double rate = wanted * bytes_each / (together * 1e-3);
  std::printf("upload of %" PRId64 " staged adapters of %.1f MB beside B=%" PRId64 ": %.1f GB/s", options_.uploads,
              bytes_each / 1e6, batch, rate / 1e9);
  if (roofs_.upload > 0) std::printf(" (%.0f %% of the peak)", rate / roofs_.upload * 100);
  std::printf(", decode %.3f ms instead of %.3f (%+.1f %%)\n", together, alone, (together / alone - 1) * 100);
  const std::string settings = Format("%s, %lld staged adapters, batch %lld decodes", Model().c_str(),
                                      static_cast<long long>(options_.uploads), static_cast<long long>(batch));
  history_.Record({"upload-beside-decode", settings, "GB/s", {rate / 1e9}, roofs_.upload / 1e9, roofs_text_});
  history_.Record({"decode-beside-upload", settings, "ms", beside.wall, alone, roofs_text_});
}

}  // namespace chorale
