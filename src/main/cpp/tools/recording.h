// What an engine with record_dir has left behind: its configuration, the manifests of its model and adapters, and the
// ring of its last steps (step_recorder.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace chorale {

struct RecordedStep {
  int64_t id = 0;
  std::vector<uint8_t> step;
  std::vector<uint8_t> late;  // empty: there was none
};

struct Recording {
  // Refuses a directory without steps, or with a gap between them.
  static Result<Recording> Open(const std::string& directory);

  std::string config;
  std::vector<uint8_t> model;
  std::map<int64_t, std::vector<uint8_t>> adapters;  // manifests by handle
  std::vector<RecordedStep> steps;                   // ids without a gap
};

}  // namespace chorale
