#include "tools/bench.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "testing/result_reader.h"

namespace chorale {
namespace {

constexpr int64_t kWarmSteps = 8;
constexpr double kGemmFlops = 790e12;  // a second, of dense 16-bit products: what the library reaches on an H100
constexpr double kMergeScale = 0.05;   // random adapters change weights by as much as those are, trained ones by some percent

}  // namespace

void Bench::AddSegment(testing::StepBuilder& step, int64_t adapter) {
  if (adapter < 0) {
    step.Segment();
  } else {
    step.Segment({{static_cast<int32_t>(adapter), 1.0f}});
  }
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

Bench::Bench(const BenchOptions& options)
    : options_(options),
      model_(BenchModel::Make(options)),
      engine_(*model_.engine),
      history_(options.history, options.command, options.commit, DeviceOf(engine_)),
      roofs_(engine_.MeasureRoofs()) {
  std::printf("%smade in %.2f s\n", engine_.Describe().c_str(), model_.create_seconds);
  if (roofs_.read > 0) {
    roofs_text_ = Format("read %.3f TB/s, upload %.1f GB/s", roofs_.read / 1e12, roofs_.upload / 1e9);
    std::printf("%s\n", roofs_text_.c_str());
  }
  history_.Record({"engine-start", Model(), "s", {model_.create_seconds}, 0, roofs_text_});
  LoadAdapters();
  const int64_t batch = *std::max_element(options.batches.begin(), options.batches.end());
  const int64_t tokens = options.context + kWarmSteps + options.steps + 2;
  for (int64_t i = 0; i < batch; ++i) {
    Stream stream;
    for (int64_t at = 0; at < tokens; at += engine_.geometry().page_tokens) stream.pages.push_back(TakePage());
    streams_.push_back(std::move(stream));
  }
}

void Bench::Run() {
  for (const int64_t tokens : options_.prefills) {
    for (const int64_t adapters : options_.adapters) {
      if (adapters <= 1) Prefill(tokens, adapters);
    }
  }
  FillContexts();
  for (const int64_t batch : options_.batches) {
    double base = 0;
    for (const int64_t adapters : options_.adapters) {
      if (adapters > batch || adapters > std::ssize(model_.adapters)) continue;
      const double milliseconds = Decode(batch, adapters, base);
      if (adapters == 0) base = milliseconds;
      if (options_.prompts > 0) Prompts(batch, adapters);
      if (options_.churn > 0) Churn(batch, adapters);
    }
  }
  if (!options_.merge.empty() && !model_.adapters.empty()) Merge();
  if (options_.uploads == 0) return;
  const std::vector<StagedAdapter> staged = model_.StageRandom(options_, options_.uploads, options_.seed + 1000);
  ColdStart(staged);
  Upload(options_.batches[0], staged);
}

int32_t Bench::TakePage() {
  if (next_page_ == engine_.Limits().page_count) Fail("the page pool is too small: see --pool-bytes");
  return next_page_++;
}

std::vector<int32_t> Bench::TakePages(int64_t count) {
  std::vector<int32_t> pages;
  for (int64_t i = 0; i < count; ++i) pages.push_back(TakePage());
  return pages;
}

void Bench::LoadAdapters() {
  for (size_t slot = 0; slot < model_.adapters.size(); ++slot) {
    testing::StepBuilder step;
    step.Load(static_cast<int32_t>(slot), model_.adapters[slot].handle, TakePages(model_.adapters[slot].pages), 0,
              engine_.Limits().layer_groups);
    Begin(step);
    Await();
  }
}

void Bench::AddPrompt(testing::StepBuilder& step, const std::vector<int32_t>& pages, int64_t first, int64_t count) const {
  std::vector<int32_t> ids;
  for (int64_t t = first; t < first + count; ++t) ids.push_back(static_cast<int32_t>((t * 31 + t * t % 17) % engine_.spec().vocab));
  const auto needed = (first + count + engine_.geometry().page_tokens - 1) / engine_.geometry().page_tokens;
  step.Sequence(ids, static_cast<int32_t>(first), {pages.begin(), pages.begin() + needed},
                static_cast<int32_t>(first + count));
}

// One prompt is computed, the other sequences get copies of its pages.
void Bench::FillContexts() {
  constexpr int64_t kChunk = 2048;
  for (int64_t at = 0; at < options_.context; at += kChunk) {
    testing::StepBuilder step;
    AddPrompt(step, streams_[0].pages, at, std::min(kChunk, options_.context - at));
    step.Segment();
    Begin(step);
    Await();
  }
  for (size_t i = 1; i < streams_.size(); ++i) {
    testing::StepBuilder step;
    for (size_t page = 0; page < streams_[0].pages.size(); ++page) {
      step.CopyPage(streams_[0].pages[page], streams_[i].pages[page]);
    }
    Begin(step);
    Await();
  }
}

void Bench::Begin(testing::StepBuilder& step) { Check(engine_.Begin(step.Id(next_step_++).Build())); }

Bench::StepTime Bench::Await() {
  int64_t bytes = 0;
  Check(engine_.Await(out_, &bytes));
  const testing::ResultReader result({out_.begin(), out_.begin() + bytes});
  if (result.header().status != CH_OK) Fail(result.fault());
  const auto milliseconds = [&](int32_t phase) { return static_cast<double>(result.phase_nanos()[phase]) * 1e-6; };
  return {milliseconds(kPhaseTotal), milliseconds(kPhaseMoves), milliseconds(kPhaseSample)};
}

// Rows in runs of one adapter each.
Bench::Times Bench::DecodeSteps(int64_t batch, int64_t adapters, int64_t steps, const Extra& extra) {
  Times times;
  int64_t in_flight = 0;
  auto last = Clock::now();
  const auto collect = [&](bool counts) {
    const StepTime device = Await();
    --in_flight;
    const double wall = Since(last);
    last = Clock::now();
    if (!counts) return;
    times.wall.push_back(wall);
    times.device.push_back(device.total);
    times.drawing.push_back(device.drawing);
  };
  for (int64_t t = 0; t < kWarmSteps + steps; ++t) {
    if (t == kWarmSteps) counters_ = engine_.counters();
    testing::StepBuilder step;
    if (extra) extra(step, t);
    int64_t adapter = AdapterOf(0, batch, adapters);
    for (int64_t i = 0; i < batch; ++i) {
      const int64_t own = AdapterOf(i, batch, adapters);
      if (own != adapter) AddSegment(step, adapter);
      adapter = own;
      const auto position = static_cast<int32_t>(options_.context + t);
      const int32_t pages = position / engine_.geometry().page_tokens + 1;
      step.Sequence({t == 0 ? static_cast<int32_t>(i % engine_.spec().vocab) : static_cast<int32_t>(-(i + 1))}, position,
                    {streams_[i].pages.begin(), streams_[i].pages.begin() + pages},
                    static_cast<int32_t>(options_.context));
      step.Sample();
    }
    AddSegment(step, adapter);
    Begin(step);
    ++in_flight;
    if (in_flight == 2) collect(t > kWarmSteps);
  }
  collect(true);
  return times;
}

void Bench::Prefill(int64_t tokens, int64_t adapters) {
  if (adapters > std::ssize(model_.adapters)) return;
  const int64_t page_count = (tokens + engine_.geometry().page_tokens - 1) / engine_.geometry().page_tokens;
  if (prefill_pages_.empty()) prefill_pages_ = TakePages(page_count);
  while (std::ssize(prefill_pages_) < page_count) prefill_pages_.push_back(TakePage());
  Times times;
  for (int32_t repeat = 0; repeat < 6; ++repeat) {
    testing::StepBuilder step;
    AddPrompt(step, {prefill_pages_.begin(), prefill_pages_.begin() + page_count}, 0, tokens);
    if (adapters == 0) step.Segment();
    if (adapters == 1) step.Segment({{0, 1.0f}});
    step.Sample();
    const auto begin = Clock::now();
    Begin(step);
    const double device = Await().total;
    if (repeat == 0) continue;
    times.wall.push_back(Since(begin));
    times.device.push_back(device);
  }
  std::vector<double> rates;
  for (const double wall : times.wall) rates.push_back(static_cast<double>(tokens) / wall * 1e3);
  std::printf("prefill %" PRId64 " tokens, %" PRId64 " adapters: %.2f ms (device %.2f), %.0f tokens/s\n", tokens,
              adapters, Median(times.wall), Median(times.device), Median(rates));
  std::fflush(stdout);
  history_.Record({"prefill", Format("%s, %lld tokens, %s", Model().c_str(), static_cast<long long>(tokens),
                                     Adapters(adapters).c_str()),
                   "tokens/s", rates, 0, roofs_text_});
}

void Bench::Prompts(int64_t batch, int64_t adapters) {
  const int64_t tokens = options_.context, at_once = std::min<int64_t>(batch, engine_.Limits().rows_max / tokens);
  if (at_once == 0) Fail("--prompts: a prompt of --context tokens does not fit into a step");
  std::vector<double> times;
  for (int64_t repeat = 0; repeat <= options_.prompts; ++repeat) {
    const auto begin = Clock::now();
    for (int64_t first = 0; first < batch; first += at_once) {
      testing::StepBuilder step;
      for (int64_t i = first; i < std::min(first + at_once, batch); ++i) {
        AddPrompt(step, streams_[i].pages, 0, tokens);
        AddSegment(step, AdapterOf(i, batch, adapters));
        step.Sample();
      }
      Begin(step);
      Await();
    }
    if (repeat > 0) times.push_back(Since(begin));
  }
  // The floor is that of the products, without attention and LoRA; of the head one row for each prompt.
  const ModelSpec& spec = engine_.spec();
  const double head = static_cast<double>(spec.vocab) * spec.hidden;
  const double linears = static_cast<double>(model_.StepWeightBytes()) / static_cast<double>(model_.element_bytes) - head;
  const auto rows = static_cast<double>(batch * tokens);
  const double floor = 2 * (linears * rows + head * static_cast<double>(batch)) / kGemmFlops * 1e3;
  const double wall = Median(times);
  std::printf("prompts B=%-3" PRId64 " of %" PRId64 " tokens, %2" PRId64 " adapters: %.2f ms, %.0f tokens/s; floor of the "
              "products %.2f ms, %.0f %%\n",
              batch, tokens, adapters, wall, rows / wall * 1e3, floor, floor / wall * 100);
  std::fflush(stdout);
  history_.Record({"prompts", Format("%s, batch %lld, %lld tokens each, %s", Model().c_str(), static_cast<long long>(batch),
                                     static_cast<long long>(tokens), Adapters(adapters).c_str()),
                   "ms", times, floor, roofs_text_});
}

double Bench::Decode(int64_t batch, int64_t adapters, double base) {
  OpTimes ops{};
  if (options_.backend == "cpu") engine_.SetTimes(&ops);
  const Times times = DecodeSteps(batch, adapters, options_.steps);
  engine_.SetTimes(nullptr);
  const BackendCounters after = engine_.counters();
  const double wall = Median(times.wall), device = Median(times.device);
  int64_t adapter_bytes = 0;
  for (int64_t i = 0; i < adapters; ++i) adapter_bytes += model_.adapter_bytes[i];
  // What one shard reads: all shards read at once.
  const int64_t context = options_.context + kWarmSteps + options_.steps / 2;
  const auto bytes = static_cast<double>((model_.StepWeightBytes() + batch * context * model_.TokenBytes()) / options_.shards +
                                         adapter_bytes);
  const double floor = roofs_.read > 0 ? bytes / roofs_.read * 1e3 : 0;
  std::printf("decode B=%-3" PRId64 " %2" PRId64 " adapters: %.3f ms a step (device %.3f, drawing %.3f), %.0f tokens/s", batch, adapters,
              wall, device, Median(times.drawing), static_cast<double>(batch) / wall * 1e3);
  if (floor > 0) std::printf("; %.2f GB, floor %.3f ms, %.0f %%", bytes / 1e9, floor, floor / wall * 100);
  if (adapters > 0 && base > 0 && roofs_.read > 0) {
    std::printf("; extra %.3f ms, floor %.3f", wall - base, static_cast<double>(adapter_bytes) / roofs_.read * 1e3);
  }
  std::printf("\n");
  if (options_.backend != "cpu") {
    PrintCounters(after);
  } else {
    for (int32_t op = 0; op < kTimedOps; ++op) {
      std::printf("  %-10s %8.1f us a step\n", kTimedOpNames[op],
                  static_cast<double>(ops[op]) * 1e-3 / static_cast<double>(kWarmSteps + options_.steps));
    }
  }
  std::fflush(stdout);
  history_.Record({"decode-step",
                   Format("%s, batch %lld, context %lld, %s", Model().c_str(), static_cast<long long>(batch),
                          static_cast<long long>(options_.context), Adapters(adapters).c_str()),
                   "ms", times.wall, floor, roofs_text_});
  return wall;
}

void Bench::Merge() {
  std::vector<double> merged, unmerged;
  const auto run = [&](testing::StepBuilder step, std::vector<double>* times) {
    // A row of its own makes the step wait for the device.
    AddPrompt(step, streams_[0].pages, 0, 1);
    step.Segment().Sample();
    const auto begin = Clock::now();
    Begin(step);
    Await();
    times->push_back(Since(begin));
  };
  std::vector<double> plain;
  for (int32_t repeat = 0; repeat < 5; ++repeat) {
    run({}, &plain);
    testing::StepBuilder merge, unmerge;
    merge.Merge(0, kMergeScale).Merged(0);
    run(merge, &merged);
    unmerge.Unmerge();
    run(unmerge, &unmerged);
  }
  const std::string settings = Format("%s, %s, %s", Model().c_str(), options_.merge.c_str(), Adapters(1).c_str());
  std::printf("merge %s: %.1f ms, unmerge %.1f ms, with a step of one row that takes %.1f\n", settings.c_str(),
              Median(merged), Median(unmerged), Median(plain));
  history_.Record({"merge", settings, "ms", merged, 0, roofs_text_});
  history_.Record({"unmerge", settings, "ms", unmerged, 0, roofs_text_});
}

void Bench::PrintCounters(const BackendCounters& after) const {
  std::printf("  in those steps: %" PRId64 " replays, %" PRId64 " recordings, %" PRId64 " + %" PRId64
              " allocations, %" PRId64 " waits besides %" PRId64 " read-backs\n",
              after.graph_replays - counters_.graph_replays, after.graph_captures - counters_.graph_captures,
              after.device_allocations - counters_.device_allocations,
              after.host_allocations - counters_.host_allocations, after.waits - counters_.waits,
              after.steps_collected - counters_.steps_collected);
}

std::string Bench::Model() const {
  std::string model = options_.image.empty() ? options_.shape : options_.image;
  if (options_.layers > 0) model += Format(", %lld layers", static_cast<long long>(options_.layers));
  if (options_.shards > 1) {
    model += Format(", %lld shards, %s", static_cast<long long>(options_.shards), options_.lora_sharding.c_str());
  }
  return model;
}

std::string Bench::Adapters(int64_t count) const {
  if (count == 0) return "no adapter";
  std::string ranks;
  for (const int64_t rank : options_.ranks) ranks += Format(ranks.empty() ? "%lld" : "/%lld", static_cast<long long>(rank));
  return Format("%lld adapters of rank %s on %zu linears", static_cast<long long>(count), ranks.c_str(),
                options_.targets.size());
}

}  // namespace chorale
