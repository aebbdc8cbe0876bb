// StepRecorder: keeps what is needed to run the last steps again, in a directory: config.txt, model.manifest,
// adapter-<handle>.manifest, and a ring of step-<id>.bin and late-<id>.bin.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace chorale {

class StepRecorder {
 public:
  StepRecorder() = default;  // records nothing
  StepRecorder(std::string directory, int64_t steps) : directory_(std::move(directory)), steps_(steps) {}

  bool on() const { return !directory_.empty(); }
  // These fail when the file cannot be written.
  Status Write(const std::string& name, std::span<const uint8_t> bytes) const;
  Status Step(int64_t step_id, std::span<const uint8_t> bytes) const;  // forgets the step that leaves the ring
  void ForgetStep(int64_t step_id) const;  // it was refused
  Status Late(int64_t step_id, std::span<const uint8_t> bytes) const;

 private:
  std::string directory_;
  int64_t steps_ = 0;
};

}  // namespace chorale
