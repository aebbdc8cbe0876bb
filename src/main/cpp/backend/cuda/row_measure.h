// RowMeasure: the lengths of the rows of W + s B A, for the gains of DoRA adapters, on a stream of its own beside steps.
//
// The base's weights are what they were loaded as, but while an adapter is merged into them in place: then there is
// nothing to measure, and who asks is told so.
#pragma once

#include <mutex>
#include <set>

#include "backend/backend.h"
#include "backend/cuda/cuda_tensors.h"
#include "backend/cuda/device_memory.h"

namespace chorale::cuda {

class RowMeasure {
 public:
  RowMeasure(const Launcher& launcher, Element element);
  ~RowMeasure();
  RowMeasure(const RowMeasure&) = delete;
  RowMeasure& operator=(const RowMeasure&) = delete;

  // Any thread.
  Status AddSquares(const RowSquaresParams& params);

  // The engine thread: before it changes the weight, and when `stream` has been given what makes it as it was.
  void BeginMerge(const Weight* weight);
  void EndMerge(const Weight* weight, cudaStream_t stream);

 private:
  Launcher launcher_;
  const Element element_;
  std::mutex mutex_;                 // guards what follows
  std::set<const Weight*> merged_;
  cudaEvent_t restored_ = nullptr;
  DeviceMemory memory_;              // A, B and the sums
};

}  // namespace chorale::cuda
