// Models of all shapes, and engines on a GPU and on the CPU that compute them: for tests.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "testing/engine_harness.h"

namespace chorale {

using testing::EngineHarness;
using testing::Generation;
using testing::ModelOptions;
using testing::RandomAdapter;
using testing::StepBuilder;

inline double RelativeError(std::span<const float> got, std::span<const float> want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - want[i];
    error += difference * difference;
    norm += static_cast<double>(want[i]) * want[i];
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

struct Case {
  const char* name;
  ModelSpec spec;
  ModelOptions options;
};

inline std::vector<Case> Cases() {
  // layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
  std::vector<Case> cases = {
      {"gqa_128", {2, 512, 1280, 8, 2, 128, 999, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}, {}},
      {"gqa_64_biases", {2, 448, 640, 7, 1, 64, 1000, 1024, 64, 1, 0, 0, 1e-6f, 1, 0.125f, 0}, {{kQ, kK, kV}, {}}},
      {"mha_128_window", {3, 256, 384, 2, 2, 128, 511, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0}, {{}, {24, 0, 40}}},
      {"qk_norm_128", {2, 256, 512, 4, 2, 128, 640, 1024, 128, 1, 1, 0, 1e-6f, 1, 0.088388346f, 0}, {}},
      {"fable", {3, 192, 512, 6, 2, 32, 2048, 1024, 32, 1, 0, 0, 1e-5f, 1, 0.17677669f, 0}, {}},
      {"mha_odd_heads", {2, 80, 200, 5, 5, 16, 331, 256, 16, 1, 0, 0, 1e-6f, 1, 0.25f, 0}, {}},
      {"head_of_three", {2, 30, 41, 6, 3, 5, 33, 256, 4, 0, 1, 0, 1e-5f, 1, 0.4472136f, 0}, {}},
      {"head_of_48", {2, 64, 96, 3, 3, 48, 257, 256, 48, 1, 1, 0, 1e-6f, 1.1f, 0.14433757f, 0}, {}},
      {"all_biases", {1, 36, 52, 2, 1, 18, 40, 256, 12, 0, 0, 0, 1e-5f, 1, 0.23570226f, 0},
       {{kQ, kK, kV, kO, kGate, kUp, kDown}, {}}},
      {"one_of_everything", {1, 2, 1, 1, 1, 2, 3, 256, 2, 1, 0, 0, 1e-5f, 1, 0.70710678f, 0}, {}}};
  for (Case& c : cases) c.options.dtype = kBF16;
  return cases;
}

// The random model of a case, made once for all who want it.
inline std::shared_ptr<const testing::TensorSet> ModelOf(const Case& c, uint64_t seed) {
  static std::map<std::pair<std::string, uint64_t>, std::shared_ptr<const testing::TensorSet>> models;
  auto& model = models[{c.name, seed}];
  if (model == nullptr) model = std::make_shared<const testing::TensorSet>(testing::RandomModel(c.spec, seed, c.options));
  return model;
}

inline constexpr int64_t kPoolBytes = int64_t{256} << 20;

inline std::unique_ptr<EngineHarness> Open(const Case& c, uint64_t seed, EngineConfig config) {
  return std::make_unique<EngineHarness>(c.spec, ModelOf(c, seed), std::move(config));
}
inline std::unique_ptr<EngineHarness> Cpu(const Case& c, uint64_t seed) {
  return Open(c, seed, {.mode = "reference", .threads = 3, .pool_bytes = kPoolBytes, .poison = 1});
}

// Whether an engine on some model of this shape can be had.
inline Status TryToOpen(const ModelSpec& spec, const EngineConfig& config) {
  const testing::TensorSet model = testing::RandomModel(spec, 1);
  AlignedBytes manifest;
  manifest.Assign(model.BuildFor("memory"));
  Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
  if (!view.ok()) return view.status();
  testing::MemorySpans spans(model.data);
  return ShardedEngine::Create(config, view.value(), spans).status();
}

// Skipped where it is not said which plugin to test.
class CudaPluginTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* directory = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
    if (directory == nullptr) GTEST_SKIP() << "CHORALE_CUDA_LIBRARY_DIR does not say where libchorale_cuda.so is";
    directory_ = directory;
  }

  std::string directory_;
};

class CudaEngineTest : public CudaPluginTest {
 protected:
  void SetUp() override {
    CudaPluginTest::SetUp();
    if (IsSkipped()) return;
    static const Status status =
        TryToOpen(testing::SmallSpec(), {.backend = "cuda", .library_dir = directory_, .pool_bytes = 1 << 20});
    if (status.message().find("no device") != std::string::npos) GTEST_SKIP() << status.message();
    ASSERT_TRUE(status.ok()) << status.message();
  }

  EngineConfig CudaConfig() const {
    return {.backend = "cuda", .library_dir = directory_, .pool_bytes = kPoolBytes, .poison = 1};
  }
  std::unique_ptr<EngineHarness> Cuda(const Case& c, uint64_t seed, const std::string& mode = "fast") const {
    EngineConfig config = CudaConfig();
    config.mode = mode;
    return Open(c, seed, config);
  }
  // As it serves: without poison, its steps recorded and replayed, or launched one by one.
  std::unique_ptr<EngineHarness> Serving(const Case& c, uint64_t seed, bool graphs) const {
    EngineConfig config = CudaConfig();
    config.graphs = graphs ? 1 : 0;
    config.poison = 0;
    return Open(c, seed, config);
  }
};

inline void LoadAdapters(EngineHarness& harness, uint64_t seed) {
  harness.Load(0, RandomAdapter(harness.spec(), seed, [](int32_t layer, Target t) { return 1 + (layer * 7 + t * 5) % 13; }),
               0);
  harness.Load(1, RandomAdapter(harness.spec(), seed + 1, [](int32_t layer, Target t) {
                 return layer == 0 && t % 2 == 1 ? 0 : t == kQ ? 96 : 20;
               }), 60);
}

// Prompts of 5 tokens and `longer` more each, with pages of their own; slot(i) is the adapter's of the i-th.
template <typename Slot>
std::vector<Generation> MakePrompts(const EngineHarness& harness, int32_t count, int32_t longer, Slot slot) {
  std::vector<Generation> generations;
  for (int32_t i = 0; i < count; ++i) {
    Generation g;
    g.prompt = harness.Prompt(5 + longer * i, i);
    g.slot = slot(i);
    for (int32_t page = 0; page < 12; ++page) g.pages.push_back(120 + i * 12 + page);
    generations.push_back(std::move(g));
  }
  return generations;
}

inline void Generate(EngineHarness& harness, std::vector<Generation>& generations, int32_t tokens, int32_t chunk = 1000) {
  std::vector<Generation*> pointers;
  for (Generation& g : generations) pointers.push_back(&g);
  harness.Generate(pointers, tokens, chunk);
}

}  // namespace chorale
