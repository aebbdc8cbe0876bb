// An engine on a random model, and generation as a scheduler would drive it: for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "backend/op_observer.h"
#include "engine/sharded_engine.h"
#include "testing/result_reader.h"
#include "testing/step_builder.h"
#include "testing/tiny_model.h"

namespace chorale::testing {

// layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context_max, rotary_dims, tied, qk_norm
inline ModelSpec SmallSpec() { return {3, 48, 80, 4, 2, 16, 61, 256, 16, 0, 0, 0, 1e-5f, 1, 0.25f, 0}; }

// Keeps the logits of every sampled row, to the bit.
class LogitsKeeper final : public OpObserver {
 public:
  void OnOp(Op op, int32_t, std::span<float> values, int64_t columns) override {
    if (op != kOpLogits) return;
    rows.clear();
    for (size_t at = 0; at < values.size(); at += columns) {
      rows.emplace_back(values.begin() + at, values.begin() + at + columns);
    }
  }
  std::vector<std::vector<float>> rows;  // of the last step
};

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Generation {
  std::vector<int32_t> prompt;
  int32_t slot = -1;  // adapter; -1: none
  std::vector<int32_t> pages;
  SampleParams params;
  int32_t scratch = -1;

  std::vector<int32_t> tokens;                // prompt and drawn
  int32_t computed = 0;
  std::vector<std::vector<float>> logits;     // of every drawn token
};

class EngineHarness {
 public:
  explicit EngineHarness(const ModelSpec& spec, uint64_t seed = 1, const std::string& mode = "fast",
                         const ModelOptions& options = {}, int64_t pool_bytes = 4 << 20)
      : EngineHarness(spec, RandomModel(spec, seed, options), mode, pool_bytes) {}
  EngineHarness(const ModelSpec& spec, TensorSet model, const std::string& mode, int64_t pool_bytes = 4 << 20)
      : EngineHarness(spec, std::move(model),
                      EngineConfig{.mode = mode, .threads = 3, .pool_bytes = pool_bytes, .poison = 1}) {}
  EngineHarness(const ModelSpec& spec, TensorSet model, EngineConfig config)
      : EngineHarness(spec, std::make_shared<const TensorSet>(std::move(model)), std::move(config)) {}
  // On a model that others use as well.
  EngineHarness(const ModelSpec& spec, std::shared_ptr<const TensorSet> model, EngineConfig config)
      : spec_(spec), model_(std::move(model)), config_(std::move(config)) {
    Open();
  }

  void Open() {
    AlignedBytes manifest;
    manifest.Assign(model_->BuildFor("memory"));
    Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
    ASSERT_TRUE(view.ok()) << view.status().message();
    MemorySpans spans(model_->data);
    Result<std::unique_ptr<ShardedEngine>> engine = ShardedEngine::Create(config_, view.value(), spans);
    ASSERT_TRUE(engine.ok()) << engine.status().message();
    engine_ = std::move(engine).value();
    engine_->SetObserver(&keeper_);
    next_step_ = 0;
  }

  ShardedEngine& engine() { return *engine_; }
  EngineConfig& config() { return config_; }
  const ModelSpec& spec() const { return spec_; }
  int32_t page_tokens() const { return engine_->geometry().page_tokens; }
  int32_t layer_groups() const { return std::min(spec_.layers, 8); }
  int64_t next_step() const { return next_step_; }
  LogitsKeeper& keeper() { return keeper_; }

  StagedAdapter Stage(TensorSet adapter) {
    AlignedBytes manifest;
    manifest.Assign(adapter.BuildFor("memory"));
    Result<ManifestView> view = ManifestView::ParseAdapter(manifest.bytes(), spec_);
    EXPECT_TRUE(view.ok()) << view.status().message();
    MemorySpans spans(adapter.data);
    Result<StagedAdapter> staged = engine_->Stage(view.value(), spans);
    EXPECT_TRUE(staged.ok()) << staged.status().message();
    return staged.value();
  }

  // Stages an adapter and loads it whole into the pages from first_page on.
  StagedAdapter Load(int32_t slot, TensorSet adapter, int32_t first_page) {
    const StagedAdapter staged = Stage(std::move(adapter));
    std::vector<int32_t> pages(staged.pages);
    std::iota(pages.begin(), pages.end(), first_page);
    StepBuilder step;
    step.Load(slot, staged.handle, pages, 0, layer_groups());
    Run(step);
    return staged;
  }

  Status Begin(StepBuilder& step) {
    const Status status = engine_->Begin(step.Id(next_step_).Build());
    if (status.ok()) ++next_step_;
    return status;
  }
  ResultReader Await() {
    std::vector<uint8_t> out(1 << 22);
    int64_t bytes = 0;
    const Status status = engine_->Await(out, &bytes);
    EXPECT_TRUE(status.ok()) << status.message();
    out.resize(bytes);
    return ResultReader(std::move(out));
  }
  ResultReader Run(StepBuilder& step) {
    const Status status = Begin(step);
    EXPECT_TRUE(status.ok()) << status.message();
    ResultReader result = Await();
    EXPECT_EQ(result.header().status, CH_OK) << result.fault();
    return result;
  }

  // Adds the next rows of a generation: at most `chunk` of what is not computed; samples when all of it is.
  bool AddRows(StepBuilder& step, Generation& g, int32_t chunk) {
    if (g.tokens.empty()) g.tokens = g.prompt;
    const auto count = std::min<int32_t>(chunk, static_cast<int32_t>(g.tokens.size()) - g.computed);
    const std::vector<int32_t> ids(g.tokens.begin() + g.computed, g.tokens.begin() + g.computed + count);
    const int32_t pages = (g.computed + count + page_tokens() - 1) / page_tokens();
    step.Sequence(ids, g.computed, {g.pages.begin(), g.pages.begin() + pages}, static_cast<int32_t>(g.prompt.size()),
                  g.scratch);
    if (g.slot >= 0) {
      step.Segment({{g.slot, 1.0f}});
    } else {
      step.Segment();
    }
    g.computed += count;
    const bool sampled = g.computed == static_cast<int32_t>(g.tokens.size());
    if (sampled) step.Sample(g.params);
    return sampled;
  }

  // Generates `count` tokens for each, all in one batch, prompts in chunks.
  void Generate(std::vector<Generation*> generations, int32_t count, int32_t chunk = 1000, int32_t merged_slot = -1) {
    for (;;) {
      StepBuilder step;
      std::vector<Generation*> sampled;
      for (Generation* g : generations) {
        if (static_cast<int32_t>(g->logits.size()) == count) continue;
        if (AddRows(step, *g, chunk)) sampled.push_back(g);
      }
      if (step.token_ids.empty()) return;
      if (merged_slot >= 0) step.Merged(merged_slot);
      const ResultReader result = Run(step);
      ASSERT_EQ(result.drawn_ids().size(), sampled.size());
      for (size_t k = 0; k < sampled.size(); ++k) {
        sampled[k]->tokens.push_back(result.drawn_ids()[k]);
        sampled[k]->logits.push_back(keeper_.rows[k]);
      }
    }
  }

  // A prompt that depends on its number alone.
  std::vector<int32_t> Prompt(int32_t length, int32_t number) const {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < length; ++i) ids.push_back((i * 7 + number * 13 + i * i % 5) % spec_.vocab);
    return ids;
  }

 private:
  ModelSpec spec_;
  std::shared_ptr<const TensorSet> model_;
  EngineConfig config_;
  LogitsKeeper keeper_;
  std::unique_ptr<ShardedEngine> engine_;
  int64_t next_step_ = 0;
};

}  // namespace chorale::testing
