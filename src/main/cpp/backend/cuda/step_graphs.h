// StepGraphs: what the forward passes of decode steps have launched, recorded once for each kind of step and replayed.
//
// A recording holds for every step of its kind, whichever and however many adapters are active and however long the
// sequences are: launches depend on the kind alone, all else is read from tables at addresses that stay (step_tables.h).
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <compare>
#include <cstdint>
#include <map>

#include "backend/cuda/device_memory.h"
#include "kernels/launch.h"

namespace chorale::cuda {

inline constexpr int32_t kPaddedRowsMax = 256;  // steps of more rows are not recorded

// Which products of a layer have a LoRA part.
enum class LoraReach : int32_t { kNone = 0, kAttention, kAll };

struct StepKind {
  int32_t rows = 0;           // as padded
  LoraReach lora = LoraReach::kNone;
  bool gains = false;         // products are multiplied by the gains of adapters
  bool outer = false;         // adapters act on the embedding or the logits
  int64_t weights = 0;        // StepPlan::weights
  auto operator<=>(const StepKind&) const = default;
};

struct StepGraph {
  cudaGraphExec_t executable = nullptr;
  int64_t tables = 0;  // generation of the tables that it reads
  Product logits;      // as the forward pass left it
};

class StepGraphs {
 public:
  StepGraphs() = default;
  ~StepGraphs() { Clear(); }
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  // Null where there is none, or the tables have moved since.
  const StepGraph* Find(const StepKind& kind, int64_t tables) const;
  void BeginCapture(cudaStream_t stream);
  // Ends the capture, keeps it in the place of an older one and launches it.
  void EndCapture(cudaStream_t stream, const StepKind& kind, int64_t tables, const Product& logits);
  void Launch(const StepGraph& graph, cudaStream_t stream);
  // Memory that recordings refer to has moved. Nothing of them may be running.
  void Clear();
  // Forgets what used weights other than the base's and these.
  void KeepWeights(int64_t weights);

  int64_t captures() const { return captures_; }
  int64_t replays() const { return replays_; }

 private:
  std::map<StepKind, StepGraph> graphs_;
  std::atomic<int64_t> captures_{0};  // read by any thread
  std::atomic<int64_t> replays_{0};
};

}  // namespace chorale::cuda
