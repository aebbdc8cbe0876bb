// Engine: takes steps in order, at most two at a time, and hands them to the backend on its own thread. A backend with a
// device of its own computes them while the engine thread prepares the next and the caller of Await waits for the last.
// Of a model in several shards an engine computes one; ShardedEngine keeps them together.
//
// Nothing of a request lives here between steps but bytes in pages, adapter slots and token counts. What can be wrong
// with a step is found in Begin, before anything has changed; what goes wrong later is a fault of that step, and a
// broken invariant is the end of the engine (CH_DEAD).
//
//   engine.cc  creation, staging, audit     engine_steps.cc  steps, on both sides of the engine thread
//   engine_moves.cc  what a step does before its forward pass
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "backend/op_observer.h"
#include "base/aligned_bytes.h"
#include "engine/engine_config.h"
#include "engine/step_recorder.h"
#include "forward/llama.h"
#include "lora/adapter_table.h"
#include "model/span_source.h"
#include "shard/shard.h"
#include "step/step_result.h"
#include "step/step_view.h"
#include "weights/adapter_gains.h"
#include "weights/adapter_staging.h"
#include "weights/merge.h"
#include "weights/model_weights.h"

namespace chorale {

inline constexpr int32_t kStepsInFlightMax = 2;

class Engine {
 public:
  // config.pool_bytes is the shard's own. With several shards, all are created at once, each on a thread.
  static Result<std::unique_ptr<Engine>> Create(const EngineConfig& config, const ManifestView& manifest,
                                                SpanSource& source, const Shard& shard);
  ~Engine();  // ends begun steps first
  void Stop();  // lets begun steps end, and takes no more
  void Join();  // waits until they have ended; nothing of this engine runs any longer

  std::string Describe() const;  // lines "key=value\n"
  const ModelSpec& spec() const { return weights_.spec; }  // of the shard
  const PageGeometry& geometry() const { return backend_->geometry(); }
  const StepRecorder& recorder() const { return recorder_; }
  StepLimits Limits() const;  // what the next step is measured against

  // One thread.
  Status Begin(std::span<const uint8_t> step);
  Status Late(std::span<const uint8_t> late);
  Status Await(std::span<uint8_t> out, int64_t* bytes);
  Status AwaitUnread();                    // for a shard whose result is another's, too
  std::span<const int32_t> drawn() const;  // in the step that was awaited last; valid until the next begins

  // Any thread.
  Result<AdapterImage> Stage(const ManifestView& manifest, SpanSource& source, const AdapterGains& gains);
  BasePart base() const { return {&weights_, &shapes_, backend_.get()}; }
  StagedAdapter Keep(AdapterImage image) { return adapters_->AddStaged(std::move(image)); }
  int64_t staged_bytes() const { return *staged_bytes_; }  // of host memory
  Status Release(int64_t handle) { return adapters_->ReleaseStaged(handle); }

  // Audit; refused unless the engine was created with poison=1. The last two wait for begun steps.
  Status PoisonAdapter(int64_t handle);
  Status PoisonPages(std::span<const int32_t> pages);
  Result<int64_t> WeightsDigest();

  BackendCounters counters() const { return backend_->counters(); }
  // What steps are measured against. Only while no page holds anything.
  MemoryRoofs MeasureRoofs() {
    backend_->Bind();
    return backend_->MeasureRoofs();
  }
  CollectiveCounts collectives() const { return backend_->collectives(); }  // while no step is begun

  // Sees, and may change, what each operation produces. Set while no step is begun.
  void SetObserver(OpObserver* observer) { observer_ = observer; }
  // Whether one sees what another shard does, which all then do in the same way. Set while no step is begun.
  void SetObservedElsewhere(bool observed) { observed_elsewhere_ = observed; }
  Status CheckAlive();  // any thread
  // Where forward passes spend their time; null: not measured. Set while no step is begun.
  void SetTimes(OpTimes* times) { llama_.SetTimes(times); }

 private:
  struct StepJob;

  Engine(const EngineConfig& config, const Shard& shard, std::unique_ptr<Backend> backend, ModelWeights weights,
         Llama llama, const LinearShapes& shapes);

  Status CheckPoison(const char* what) const;
  Status Collect(StepJob* job);
  StepJob* FindJob(int64_t step_id);
  void ResolveSegments(StepJob* job) const;
  Result<StepJob*> WaitForOldest();
  void WaitUntilIdle();
  int64_t page_bytes() const { return geometry().page_bytes * shard_.count; }  // of a page of all shards together

  // The engine thread.
  void Work();
  void Execute(StepJob* job);
  Status RunStep(StepJob* job);
  Status Prepare(StepJob* job);
  Status RunMoves(StepJob* job);
  Status RunMove(const ResolvedMove& resolved, StepJob* job);
  void Load(const ResolvedMove& resolved, const StepJob& job);
  void Unmerge();
  void ExportPage(int32_t page, StepJob* job);
  Status CheckForNan(const StepJob& job);
  void Die(std::string message);

  const EngineConfig config_;
  const Shard shard_;
  const StepRecorder recorder_;
  std::unique_ptr<Backend> backend_;
  const ModelWeights weights_;
  Llama llama_;
  const LinearShapes shapes_;
  const int32_t layer_groups_;
  const int32_t window_max_;
  const std::vector<int64_t> pages_of_shards_;
  const int32_t page_count_;    // the least of them
  const int64_t weight_bytes_;  // of all shards
  const std::shared_ptr<StagedBytes> staged_bytes_ = std::make_shared<StagedBytes>(0);
  std::unique_ptr<AdapterTable> adapters_;
  OpObserver* observer_ = nullptr;
  bool observed_elsewhere_ = false;

  // The stepping thread (Begin, Late, Await).
  int64_t last_step_id_ = -1;
  int32_t last_samples_ = -1;

  // The engine thread.
  std::unique_ptr<MergedWeights> merged_;
  int32_t merged_slot_ = -1;
  int64_t merges_ = 0;
  bool last_failed_ = false;
  std::vector<float> checked_;
  std::vector<uint8_t> page_part_;  // of a page that is exported

  std::mutex mutex_;  // guards the states of jobs, begun_, executed_, awaited_, stop_, dead_text_
  std::condition_variable begun_or_late_;
  std::condition_variable done_;
  std::array<std::unique_ptr<StepJob>, kStepsInFlightMax> jobs_;  // job of the n-th step: n % 2
  int64_t begun_ = 0;
  int64_t executed_ = 0;
  int64_t awaited_ = 0;
  bool stop_ = false;
  std::string dead_text_;
  std::atomic<bool> dead_{false};
  std::thread thread_;
};

}  // namespace chorale
