// chorale_bench: how many tokens a second the engine makes, without Java and without a network.
//
//   chorale_bench (--image FILE | --shape NAME [--seed N]) [--streams N] [--tokens N] [--prompt N] [--adapters N]
//                 [--threads N] [--mode fast|reference] [--json]
//
// Every stream decodes greedily; stream i uses adapter i modulo (adapters + 1), where the last stands for none. With
// --image adapters are those of the image, at most N; with --shape they are random, of ranks 16, 32, 8, 8, 64, 4, ...
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "testing/result_reader.h"
#include "testing/step_builder.h"
#include "testing/tiny_model.h"

namespace chorale {
namespace {

struct Options {
  std::string image, shape = "fable", mode = "fast";
  int64_t seed = 1, streams = 1, tokens = 200, prompt = 32, adapters = 0, threads = 0;
  bool json = false;
};

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "chorale_bench: %s\n", message.c_str());
  std::exit(1);
}

void Check(const Status& status) {
  if (!status.ok()) Fail(status.message());
}

template <typename T>
T Take(Result<T> result) {
  Check(result.status());
  return std::move(result).value();
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::string*> texts = {
      {"--image", &options.image}, {"--shape", &options.shape}, {"--mode", &options.mode}};
  const std::map<std::string, int64_t*> numbers = {
      {"--seed", &options.seed},     {"--streams", &options.streams},   {"--tokens", &options.tokens},
      {"--prompt", &options.prompt}, {"--adapters", &options.adapters}, {"--threads", &options.threads}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == argc) Fail(name + " needs a value, or is not an option");
    const char* value = argv[++i];
    if (auto text = texts.find(name); text != texts.end()) {
      *text->second = value;
    } else if (auto number = numbers.find(name); number != numbers.end()) {
      char* end = nullptr;
      *number->second = std::strtoll(value, &end, 10);
      if (*end != '\0' || *number->second < 0) Fail(name + " " + value + " is not a whole number");
    } else {
      Fail(name + " is not an option");
    }
  }
  if (options.streams < 1 || options.prompt < 1 || options.tokens < 1) {
    Fail("--streams, --prompt and --tokens are at least 1");
  }
  return options;
}

ModelSpec SpecOf(const std::string& shape) {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  static const std::map<std::string, ModelSpec> kShapes = {
      {"fable", {6, 192, 512, 6, 2, 32, 2048, 1024, 32, 1, 0, 0, 1e-5f, 1, 0.17677669f, 0}},
      {"qwen3-0.6b", {28, 1024, 3072, 16, 8, 128, 151936, 4096, 128, 1, 1, 0, 1e-6f, 1, 0.088388346f, 0}},
      {"llama-3.2-1b", {16, 2048, 8192, 32, 8, 64, 128256, 4096, 64, 1, 0, 0, 1e-5f, 1, 0.125f, 0}},
      {"llama-3-8b-tiny", {2, 4096, 14336, 32, 8, 128, 16384, 4096, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}}};
  const auto found = kShapes.find(shape);
  if (found != kShapes.end()) return found->second;
  std::string known;
  for (const auto& [name, spec] : kShapes) known += " " + name;
  Fail("--shape " + shape + " is none of" + known);
}

struct Loaded {
  std::unique_ptr<Engine> engine;
  std::vector<StagedAdapter> adapters;
};

EngineConfig ConfigOf(const Options& options, const ModelSpec& spec) {
  EngineConfig config;
  config.mode = options.mode;
  config.threads = options.threads;
  // Room for all streams, and as much again with a floor for adapters.
  const int64_t token_bytes = int64_t{2} * spec.kv_heads * spec.head_dim * spec.layers * 4;
  config.pool_bytes = options.streams * (options.prompt + options.tokens + 64) * token_bytes * 2 + (int64_t{256} << 20);
  config.rows_max = std::max<int64_t>(4096, options.prompt);
  config.sequences_max = config.samples_max = std::max<int64_t>(512, options.streams);
  return config;
}

Loaded LoadImage(const Options& options) {
  const PackView pack = Take(PackView::Open(options.image));
  PackSpans spans(pack);
  Loaded loaded;
  loaded.engine = Take(Engine::Create(ConfigOf(options, pack.model().spec()), pack.model(), spans));
  for (int32_t i = 0; i < pack.adapters() && i < options.adapters; ++i) {
    loaded.adapters.push_back(Take(loaded.engine->Stage(pack.adapter(i), spans)));
  }
  return loaded;
}

Loaded MakeRandom(const Options& options) {
  const ModelSpec spec = SpecOf(options.shape);
  testing::TensorSet model = testing::RandomModel(spec, static_cast<uint64_t>(options.seed), {.dtype = kBF16});
  AlignedBytes manifest;
  manifest.Assign(model.BuildFor("memory"));
  const ManifestView view = Take(ManifestView::ParseModel(manifest.bytes()));
  testing::MemorySpans spans(model.data);
  Loaded loaded;
  loaded.engine = Take(Engine::Create(ConfigOf(options, spec), view, spans));
  for (int64_t i = 0; i < options.adapters; ++i) {
    static constexpr int32_t kRanks[] = {16, 32, 8, 8, 64, 4};
    testing::TensorSet adapter = testing::RandomAdapter(
        spec, static_cast<uint64_t>(options.seed + 1 + i), [i](int32_t, Target) { return kRanks[i % 6]; });
    manifest.Assign(adapter.BuildFor("memory"));
    const ManifestView adapter_view = Take(ManifestView::ParseAdapter(manifest.bytes(), spec));
    testing::MemorySpans adapter_spans(adapter.data);
    loaded.adapters.push_back(Take(loaded.engine->Stage(adapter_view, adapter_spans)));
  }
  return loaded;
}

class Bench {
 public:
  Bench(const Options& options, Loaded loaded) : options_(options), loaded_(std::move(loaded)), engine_(*loaded_.engine) {
    for (int64_t i = 0; i < options.streams; ++i) {
      const int64_t tokens = options.prompt + options.tokens + 1;
      Stream stream;
      for (int64_t at = 0; at < tokens; at += engine_.geometry().page_tokens) stream.pages.push_back(next_page_++);
      const auto choice = static_cast<int32_t>(i % (static_cast<int64_t>(loaded_.adapters.size()) + 1));
      if (choice < static_cast<int32_t>(loaded_.adapters.size())) stream.slot = choice;
      streams_.push_back(stream);
    }
    // Rows of one adapter lie together, as the scheduler places them.
    std::stable_sort(streams_.begin(), streams_.end(), [](const Stream& a, const Stream& b) { return a.slot < b.slot; });
  }

  void Run() {
    LoadAdapters();
    const double prefill = Prefill();
    OpTimes times{};
    engine_.SetTimes(&times);
    const double decode = Decode();
    const double prompt_tokens = static_cast<double>(options_.streams * options_.prompt);
    const double tokens = static_cast<double>(options_.streams * options_.tokens);
    if (options_.json) {
      std::printf("{\"tool\":\"chorale_bench\",\"model\":\"%s\",\"mode\":\"%s\",\"streams\":%" PRId64
                  ",\"adapters\":%zu,\"prompt\":%" PRId64 ",\"tokens\":%" PRId64
                  ",\"decode_tokens_per_second\":%.1f,\"prefill_tokens_per_second\":%.1f,\"op_micros_per_step\":{",
                  Model().c_str(), options_.mode.c_str(), options_.streams, loaded_.adapters.size(), options_.prompt,
                  options_.tokens, tokens / decode, prompt_tokens / prefill);
      for (int32_t op = 0; op < kTimedOps; ++op) {
        std::printf("%s\"%s\":%.2f", op == 0 ? "" : ",", kTimedOpNames[op], MicrosPerStep(times[op]));
      }
      std::printf("}}\n");
      return;
    }
    std::printf("%s\n%" PRId64 " streams, %zu adapters: decode %.0f tokens/s, prefill %.0f tokens/s\n",
                engine_.Describe().c_str(), options_.streams, loaded_.adapters.size(), tokens / decode,
                prompt_tokens / prefill);
    for (int32_t op = 0; op < kTimedOps; ++op) {
      std::printf("  %-10s %8.1f us a step\n", kTimedOpNames[op], MicrosPerStep(times[op]));
    }
    std::printf("  %-10s %8.1f us a step\n", "whole step", decode * 1e6 / static_cast<double>(options_.tokens));
  }

 private:
  struct Stream {
    std::vector<int32_t> pages;
    int32_t slot = 1 << 20;  // none: sorts last
    int32_t context = 0;
    int32_t token = 0;
  };

  std::string Model() const { return options_.image.empty() ? options_.shape : options_.image; }
  double MicrosPerStep(int64_t nanos) const {
    return static_cast<double>(nanos) * 1e-3 / static_cast<double>(options_.tokens);
  }

  void LoadAdapters() {
    testing::StepBuilder step;
    const int32_t groups = std::min(engine_.spec().layers, 8);
    for (size_t slot = 0; slot < loaded_.adapters.size(); ++slot) {
      std::vector<int32_t> pages;
      for (int64_t i = 0; i < loaded_.adapters[slot].pages; ++i) pages.push_back(next_page_++);
      step.Load(static_cast<int32_t>(slot), loaded_.adapters[slot].handle, pages, 0, groups);
    }
    RunStep(step);
  }

  // Each stream's prompt in chunks of at most 512 tokens, one stream after another.
  double Prefill() {
    double seconds = 0;
    for (size_t i = 0; i < streams_.size(); ++i) {
      Stream& stream = streams_[i];
      while (stream.context < options_.prompt) {
        const int64_t count = std::min<int64_t>(512, options_.prompt - stream.context);
        std::vector<int32_t> ids;
        for (int64_t t = 0; t < count; ++t) {
          ids.push_back(static_cast<int32_t>((stream.context + t) * 31 + static_cast<int64_t>(i)) % engine_.spec().vocab);
        }
        testing::StepBuilder step;
        AddRows(step, stream, ids);
        seconds += RunStep(step);
        stream.token = drawn_[0];
      }
    }
    return seconds;
  }

  double Decode() {
    double seconds = 0;
    for (int64_t t = 0; t < options_.tokens; ++t) {
      testing::StepBuilder step;
      for (Stream& stream : streams_) AddRows(step, stream, {stream.token});
      seconds += RunStep(step);
      for (size_t i = 0; i < streams_.size(); ++i) streams_[i].token = drawn_[i];
    }
    return seconds;
  }

  void AddRows(testing::StepBuilder& step, Stream& stream, const std::vector<int32_t>& ids) {
    const auto first = stream.context;
    stream.context += static_cast<int32_t>(ids.size());
    const int32_t page_tokens = engine_.geometry().page_tokens;
    const int32_t pages = (stream.context + page_tokens - 1) / page_tokens;
    step.Sequence(ids, first, {stream.pages.begin(), stream.pages.begin() + pages},
                  static_cast<int32_t>(options_.prompt));
    const bool adapted = stream.slot < static_cast<int32_t>(loaded_.adapters.size());
    const bool joins = step.segment_start.size() > 1 && last_slot_ == stream.slot;
    last_slot_ = stream.slot;
    if (joins) {
      step.segment_start.back() = static_cast<int32_t>(step.token_ids.size());
    } else if (adapted) {
      step.Segment({{stream.slot, 1.0f}});
    } else {
      step.Segment();
    }
    step.Sample();
  }

  double RunStep(testing::StepBuilder& step) {
    const std::vector<uint8_t> buffer = step.Id(next_step_++).Build();
    int64_t bytes = 0;
    const auto begin = std::chrono::steady_clock::now();
    Check(engine_.Begin(buffer));
    Check(engine_.Await(out_, &bytes));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    const testing::ResultReader result({out_.begin(), out_.begin() + bytes});
    if (result.header().status != CH_OK) Fail(result.fault());
    drawn_.assign(result.drawn_ids().begin(), result.drawn_ids().end());
    return elapsed.count();
  }

  const Options options_;
  Loaded loaded_;
  Engine& engine_;
  std::vector<Stream> streams_;
  int32_t next_page_ = 0;
  int32_t last_slot_ = -1;
  int64_t next_step_ = 0;
  std::vector<int32_t> drawn_;
  std::vector<uint8_t> out_ = std::vector<uint8_t>(1 << 20);
};

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) {
  const chorale::Options options = chorale::ParseOptions(argc, argv);
  chorale::Bench(options, options.image.empty() ? chorale::MakeRandom(options) : chorale::LoadImage(options)).Run();
  return 0;
}
