// How one row is sampled; the meaning and the order of the parts are in backend/cpu/cpu_sample.h.
#pragma once

#include <cstdint>

namespace chorale {

struct SampleParams {
  float temperature = 0;   // 0: greedy
  int32_t top_k = 0;       // 0: off
  float top_p = 1;         // 1: off
  float min_p = 0;         // 0: off
  float repetition = 1;    // 1: off
  float presence = 0;      // 0: off
  float frequency = 0;     // 0: off
  int64_t seed = 0;
  int32_t top_logprobs = -1;  // -1: no log-probability wanted; n: of the drawn token and the n best

  bool HasPenalties() const { return repetition != 1 || presence != 0 || frequency != 0; }
};

}  // namespace chorale
