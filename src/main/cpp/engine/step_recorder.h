// StepRecorder: keeps what is needed to run the last steps again, in a directory: config.txt, model.manifest,
// adapter-<handle>.manifest, and a ring of step-<id>.bin and late-<id>.bin.
//
// Whether the directory can be written is found out when the engine is created. Later a recording must not stand in the
// way of serving: the first file that cannot be written (a full disk) ends it, with a line on standard error.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace chorale {

class StepRecorder {
 public:
  StepRecorder() = default;  // records nothing
  StepRecorder(std::string directory, int64_t steps) : directory_(std::move(directory)), steps_(steps) {}

  bool on() const { return !directory_.empty() && !ended_.load(std::memory_order_relaxed); }
  Status Write(const std::string& name, std::span<const uint8_t> bytes) const;
  void Adapter(int64_t handle, std::span<const uint8_t> manifest) const;
  void Step(int64_t step_id, std::span<const uint8_t> bytes) const;  // forgets the step that leaves the ring
  void ForgetStep(int64_t step_id) const;  // it was refused
  void Late(int64_t step_id, std::span<const uint8_t> bytes) const;

 private:
  void EndOnFailure(const Status& written) const;

  std::string directory_;
  int64_t steps_ = 0;
  mutable std::atomic<bool> ended_{false};
};

}  // namespace chorale
