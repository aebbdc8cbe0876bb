// Which tokens' keys and values the steps so far have written: a recording that begins in the middle of a sequence
// reads what nobody in it has written, and must not be compared.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "step/step_view.h"

namespace chorale {

class WrittenTokens {
 public:
  explicit WrittenTokens(const StepLimits& limits)
      : page_tokens_(limits.page_tokens),
        window_max_(limits.window_max),
        written_(int64_t{limits.page_count} * limits.page_tokens) {}

  // Takes note of a step's moves and rows; refuses it when it reads a token that is not there.
  Status Advance(const StepView& step);

 private:
  void Fill(int32_t page, bool value);

  const int32_t page_tokens_;
  const int32_t window_max_;
  std::vector<bool> written_;  // [page_count][page_tokens]
};

}  // namespace chorale
