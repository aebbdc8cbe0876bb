// A step that has begun: its buffers, what they refer to, and what came of it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/aligned_bytes.h"
#include "engine/engine.h"
#include "lora/adapter_table.h"
#include "lora/lora_batch.h"
#include "step/step_view.h"

namespace chorale {

// Reused for every second step, so that a steady state allocates nothing.
struct Engine::StepJob {
  int32_t turn = 0;
  AlignedBytes buffer;
  AlignedBytes late_buffer;
  std::optional<StepView> view;
  std::optional<LateView> late;
  std::vector<ResolvedMove> moves;
  LoraBatch lora;
  bool done = false;      // the engine thread has done with it
  bool collects = false;  // the backend still has what it drew

  Status status;
  Drawn drawn;
  std::vector<float> hidden;
  std::vector<int32_t> completed_loads;
  std::vector<uint8_t> page_bytes;
  std::array<int64_t, kPhases> phase_nanos{};
};

}  // namespace chorale
