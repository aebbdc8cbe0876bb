#include "tools/bench_model.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "shard/shard_cut.h"
#include "testing/tiny_model.h"

namespace chorale {

ModelSpec SpecOf(const std::string& shape) {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  static const std::map<std::string, ModelSpec> kShapes = {
      {"fable", {6, 192, 512, 6, 2, 32, 2048, 1024, 32, 1, 0, 0, 1e-5f, 1, 0.17677669f, 0}},
      {"qwen3-0.6b", {28, 1024, 3072, 16, 8, 128, 151936, 4096, 128, 1, 1, 0, 1e-6f, 1, 0.088388346f, 0}},
      {"llama-3.2-1b", {16, 2048, 8192, 32, 8, 64, 128256, 4096, 64, 1, 0, 0, 1e-5f, 1, 0.125f, 0}},
      {"llama-3.2-3b", {28, 3072, 8192, 24, 8, 128, 128256, 4096, 128, 1, 0, 0, 1e-5f, 1, 0.088388346f, 0}},
      {"llama-3-8b", {32, 4096, 14336, 32, 8, 128, 128256, 8192, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}},
      // What each of two shards computes of it, without a word between them.
      {"llama-3-8b-half", {32, 4096, 7168, 16, 4, 128, 64128, 8192, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}},
      {"llama-3-70b", {80, 8192, 28672, 64, 8, 128, 128256, 8192, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}},
      {"llama-2-7b", {32, 4096, 11008, 32, 32, 128, 32000, 4096, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}},
      {"mistral-7b", {32, 4096, 14336, 32, 8, 128, 32768, 32768, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}},
      {"qwen2.5-7b", {28, 3584, 18944, 28, 4, 128, 152064, 32768, 128, 0, 0, 0, 1e-6f, 1, 0.088388346f, 0}},
      {"llama-3-8b-tiny", {2, 4096, 14336, 32, 8, 128, 16384, 4096, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}}};
  const auto found = kShapes.find(shape);
  if (found != kShapes.end()) return found->second;
  std::string known;
  for (const auto& [name, spec] : kShapes) known += " " + name;
  Fail("--shape " + shape + " is none of" + known);
}

EngineConfig ConfigOf(const BenchOptions& options, const ModelSpec& spec) {
  EngineConfig config;
  config.backend = options.backend;
  config.mode = options.mode;
  config.library_dir = options.library_dir;
  config.threads = options.threads;
  config.graphs = options.graphs;
  config.shards = options.shards;
  config.lora_sharding = options.lora_sharding;
  config.pool_bytes = options.pool_bytes;
  if (!options.merge.empty()) config.merge = options.merge;
  const int64_t batch = *std::max_element(options.batches.begin(), options.batches.end());
  if (config.pool_bytes == 0 && options.backend == "cpu") {
    // Room for all sequences, and as much again with a floor for adapters.
    const int64_t token_bytes = int64_t{2} * spec.kv_heads * spec.head_dim * spec.layers * 4;
    config.pool_bytes = batch * (options.context + options.steps + 64) * token_bytes * 2 + (int64_t{256} << 20);
  }
  for (const int64_t rows : options.prefills) config.rows_max = std::max(config.rows_max, rows);
  config.sequences_max = config.samples_max = std::max<int64_t>(512, batch);
  return config;
}

std::string DeviceOf(const ShardedEngine& engine) {
  const std::string text = engine.Describe();
  const size_t begin = text.find("device=") + 7;
  return text.substr(begin, text.find('\n', begin) - begin);
}

namespace {

StagedAdapter StageOne(ShardedEngine& engine, const BenchOptions& options, int64_t seed, int64_t rank) {
  testing::TensorSet adapter =
      testing::DummyAdapter(engine.spec(), static_cast<uint64_t>(seed), static_cast<int32_t>(rank), options.targets);
  AlignedBytes manifest;
  manifest.Assign(adapter.BuildFor("none"));
  const ManifestView view = Take(ManifestView::ParseAdapter(manifest.bytes(), engine.spec()));
  testing::MemorySpans none({});
  return Take(engine.Stage(view, none));
}

BenchModel FromImage(const BenchOptions& options) {
  const PackView pack = Take(PackView::Open(options.image));
  PackSpans spans(pack);
  BenchModel model;
  model.Create(ConfigOf(options, pack.model().spec()), pack.model(), spans);
  const int64_t wanted = *std::max_element(options.adapters.begin(), options.adapters.end());
  for (int32_t i = 0; i < pack.adapters() && i < wanted; ++i) {
    model.adapters.push_back(Take(model.engine->Stage(pack.adapter(i), spans)));
    int64_t numbers = 0;
    for (const SpanEntry& span : pack.adapter(i).spans()) numbers += span.rows * span.cols;
    model.adapter_bytes.push_back(numbers);
  }
  return model;
}

BenchModel OfShape(const BenchOptions& options) {
  ModelSpec spec = SpecOf(options.shape);
  if (options.layers > 0) spec.layers = static_cast<int32_t>(options.layers);
  testing::TensorSet random = testing::DummyModel(spec, static_cast<uint64_t>(options.seed), kBF16);
  AlignedBytes manifest;
  manifest.Assign(random.BuildFor("none"));
  const ManifestView view = Take(ManifestView::ParseModel(manifest.bytes()));
  testing::MemorySpans none({});
  BenchModel model;
  model.Create(ConfigOf(options, spec), view, none);
  const int64_t wanted = *std::max_element(options.adapters.begin(), options.adapters.end());
  model.adapters = model.StageRandom(options, wanted, options.seed + 1);
  // Of one shard, which keeps some factors whole and has parts of others: bytes that a step of it reads.
  const LinearShapes shapes = ShapesOf(spec, {.index = 0,
                                              .count = static_cast<int32_t>(options.shards),
                                              .lora = ConfigOf(options, spec).sharding()});
  for (int64_t i = 0; i < wanted; ++i) {
    int64_t columns = 0;
    for (Target target : options.targets) columns += shapes.in[target] + shapes.out[target];
    model.adapter_bytes.push_back(options.ranks[static_cast<size_t>(i) % options.ranks.size()] * columns * spec.layers);
  }
  return model;
}

}  // namespace

void Check(const Status& status) {
  if (!status.ok()) Fail(status.message());
}

BenchModel BenchModel::Make(const BenchOptions& options) {
  BenchModel model = options.image.empty() ? OfShape(options) : FromImage(options);
  model.element_bytes = options.backend == "cpu" ? 4 : 2;
  for (int64_t& bytes : model.adapter_bytes) bytes *= model.element_bytes;
  return model;
}

void BenchModel::Create(const EngineConfig& config, const ManifestView& manifest, SpanSource& source) {
  const auto begin = std::chrono::steady_clock::now();
  engine = Take(ShardedEngine::Create(config, manifest, source));
  create_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::vector<StagedAdapter> BenchModel::StageRandom(const BenchOptions& options, int64_t count, int64_t seed) const {
  std::vector<StagedAdapter> staged(static_cast<size_t>(count));
  std::atomic<int64_t> next{0};
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (int64_t at = next++; at < count; at = next++) {
        staged[at] = StageOne(*engine, options, seed + at, options.ranks[static_cast<size_t>(at) % options.ranks.size()]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return staged;
}

int64_t BenchModel::StepWeightBytes() const {
  const ModelSpec& spec = engine->spec();
  int64_t numbers = int64_t{spec.vocab} * spec.hidden;
  for (int32_t t = 0; t < kTargets; ++t) {
    const auto target = static_cast<Target>(t);
    numbers += int64_t{spec.layers} * InWidth(spec, target) * OutWidth(spec, target);
  }
  return numbers * element_bytes;
}

int64_t BenchModel::TokenBytes() const {
  const ModelSpec& spec = engine->spec();
  return int64_t{2} * spec.kv_heads * spec.head_dim * spec.layers * element_bytes;
}

}  // namespace chorale
