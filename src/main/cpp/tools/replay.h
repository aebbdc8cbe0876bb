// Runs a recording on two engines and finds the first operation in which they differ.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "engine/sharded_engine.h"
#include "tools/lockstep.h"
#include "tools/recording.h"

namespace chorale {

// Where the weights come from, when not from the files that the recording names.
struct ReplayImage {
  std::string path;                         // of a packed image; empty: the recording's files
  std::map<int64_t, std::string> adapters;  // name in the image by recorded handle
};

// An engine as the recording's was, with its adapters staged, but of this kind: reference, fast or cuda.
Result<std::unique_ptr<ShardedEngine>> MakeEngine(const Recording& recording, const std::string& kind,
                                           const ReplayImage& image = {});

// What is allowed between engines whose sums run in other orders, or whose numbers are of other types.
double DefaultTolerance(const ShardedEngine& expected, const ShardedEngine& actual);

struct ReplayReport {
  int64_t steps = 0;                     // that were run
  int64_t refused = 0;                   // 1: both refused the last, as the recorded engine must have
  std::optional<Difference> difference;  // none: they agree
};

// Refuses a recording that does not hold all that its steps read.
Result<ReplayReport> Replay(const Recording& recording, ShardedEngine& expected, ShardedEngine& actual, double tolerance,
                            std::optional<Plant> plant = {});

}  // namespace chorale
