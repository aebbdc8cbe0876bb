// A checkpoint of random weights on the disk, and how fast it comes into an engine.
#pragma once

#include "tools/bench_options.h"

namespace chorale {

// Writes the shape's weights into the folder of --checkpoint unless they are there, then makes engines from them: with
// nothing in the page cache, and with everything in it. Beside the times stand what reading the files alone takes, and
// what an engine takes whose weights are made on the device.
void MeasureCheckpoint(const BenchOptions& options);

}  // namespace chorale
