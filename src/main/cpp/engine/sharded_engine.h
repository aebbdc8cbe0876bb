// ShardedEngine: the engine that the outside sees: one engine, or one for each shard of the model, kept in step.
//
// Every shard is given every step, so that page tables, slots and token counts are the same in all of them; what one
// shard finds wrong in a step, all do. Their forward passes meet in collectives (shard/), and each draws the same tokens
// from the same logits. A shard that fails takes the others with it: its reason is the reason of all.
#pragma once

#include "engine/engine.h"
#include "shard/shard_group.h"

namespace chorale {

class ShardedEngine {
 public:
  // config.pool_bytes and config.threads are shared out among the shards.
  static Result<std::unique_ptr<ShardedEngine>> Create(const EngineConfig& config, const ManifestView& manifest,
                                                       SpanSource& source);
  ~ShardedEngine();  // ends begun steps first

  std::string Describe() const { return first().Describe(); }  // lines "key=value\n"
  const ModelSpec& spec() const { return spec_; }              // of the whole model
  const PageGeometry& geometry() const { return first().geometry(); }  // of one shard
  const StepRecorder& recorder() const { return first().recorder(); }
  StepLimits Limits() const { return first().Limits(); }
  int32_t shards() const { return static_cast<int32_t>(engines_.size()); }
  Engine& engine(int32_t shard) { return *engines_[shard]; }

  // As of Engine, and from the same threads.
  Status Begin(std::span<const uint8_t> step);
  Status Late(std::span<const uint8_t> late);
  Status Await(std::span<uint8_t> out, int64_t* bytes);
  Result<StagedAdapter> Stage(const ManifestView& manifest, SpanSource& source);
  Status Release(int64_t handle);
  int64_t staged_bytes() const;  // of all shards
  Status PoisonAdapter(int64_t handle);
  Status PoisonPages(std::span<const int32_t> pages);
  Result<int64_t> WeightsDigest();

  BackendCounters counters() const { return first().counters(); }    // of the first shard
  MemoryRoofs MeasureRoofs() { return first().MeasureRoofs(); }      // of its device
  // Of the first shard: what it computes of an operation; sums over shards and logits are whole.
  void SetObserver(OpObserver* observer) {
    first().SetObserver(observer);
    for (const auto& engine : engines_) engine->SetObservedElsewhere(observer != nullptr);
  }
  void SetTimes(OpTimes* times) { first().SetTimes(times); }

 private:
  ShardedEngine(const ModelSpec& spec, std::unique_ptr<ShardGroup> group,
                std::vector<std::unique_ptr<Engine>> engines)
      : spec_(spec), group_(std::move(group)), engines_(std::move(engines)) {}

  Engine& first() const { return *engines_[0]; }
  // Calls all shards in turn. What the first refuses none is asked; the others may not differ from it.
  template <typename Call>
  Status OnAll(const Call& call);
  Status CheckTogether() const;
  Status Fail(const std::string& why);

  const ModelSpec spec_;
  const std::unique_ptr<ShardGroup> group_;
  const std::vector<std::unique_ptr<Engine>> engines_;
  std::mutex staged_;  // held while an adapter gets its handle, so that it is the same in all shards
};

}  // namespace chorale
