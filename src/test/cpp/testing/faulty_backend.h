// What a test says to the faulty backend, a plugin that is the CPU's backend until a fault is planted in one shard.
#pragma once

#include <cstdint>

namespace chorale::testing {

enum class Fault : int32_t {
  kNone = 0,
  kPool,     // when it is made: its pool has half the pages
  kNoPool,   // when it is made: no memory for a pool
  kStage,    // no memory for a staged adapter
  kShadow,   // no memory for merged weights
  kPrepare,  // no memory for what a step needs
  // The device fails in the middle of it.
  kLoad,
  kMerge,
  kUnmerge,
  kReadPage,
};

// The symbol of the plugin: from now on `shard` has the fault.
inline constexpr const char* kPlantFaultSymbol = "chorale_plant_fault";
using PlantFaultFunction = void (*)(int32_t shard, Fault fault);

}  // namespace chorale::testing
