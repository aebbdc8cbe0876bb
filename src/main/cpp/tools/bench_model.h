// The engine and the adapters that chorale_bench runs: of a packed image, or random ones of a known shape.
#pragma once

#include <memory>
#include <vector>

#include "engine/sharded_engine.h"
#include "tools/bench_options.h"

namespace chorale {

struct BenchModel {
  std::unique_ptr<ShardedEngine> engine;
  std::vector<StagedAdapter> adapters;
  std::vector<int64_t> adapter_bytes;  // of each one's numbers, as they lie in pages of a shard
  int64_t element_bytes = 0;           // of weights, keys and values
  double create_seconds = 0;           // that the engine took to be made

  static BenchModel Make(const BenchOptions& options);

  void Create(const EngineConfig& config, const ManifestView& manifest, SpanSource& source);

  // Stages `count` random adapters on all cores; their seeds begin at `seed`.
  std::vector<StagedAdapter> StageRandom(const BenchOptions& options, int64_t count, int64_t seed) const;

  // What a decode step must read besides keys, values and adapters: the linears and the head.
  int64_t StepWeightBytes() const;
  int64_t TokenBytes() const;  // keys and values of a token
};

ModelSpec SpecOf(const std::string& shape);  // that --shape names
EngineConfig ConfigOf(const BenchOptions& options, const ModelSpec& spec);
std::string DeviceOf(const ShardedEngine& engine);

void Check(const Status& status);

template <typename T>
T Take(Result<T> result) {
  Check(result.status());
  return std::move(result).value();
}

}  // namespace chorale
