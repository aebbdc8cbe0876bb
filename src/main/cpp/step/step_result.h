// Writes result buffers (step_abi.h).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "chorale/step_abi.h"

namespace chorale {

// Everything a step answers; the spans belong to the engine.
struct StepResult {
  int64_t step_id = 0;
  std::span<const int32_t> drawn_ids;        // [K]
  std::span<const float> drawn_logprobs;     // [K]
  std::span<const int32_t> top_start;        // [K+1]
  std::span<const int32_t> top_ids;          // [top_start[K]]
  std::span<const float> top_logprobs;       // [top_start[K]]
  std::span<const float> hidden;             // [rows, H]
  std::span<const int32_t> completed_loads;  // pairs (slot, layer groups resident)
  std::span<const uint8_t> page_bytes;
  std::array<int64_t, kPhases> phase_nanos{};
};

// Writes `result` to the start of `out` and says in *bytes how long it is. CH_RESOURCE_EXHAUSTED when it does not fit:
// then nothing is written and *bytes is what is needed, so that the caller may come again.
Status WriteResult(const StepResult& result, std::span<uint8_t> out, int64_t* bytes);

// The same for a step that failed: its status and sentence, and nothing else.
Status WriteFault(int64_t step_id, const Status& fault, std::span<uint8_t> out, int64_t* bytes);

}  // namespace chorale
