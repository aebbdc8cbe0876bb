// The part that the step and the late buffer have in common: a table of sections behind a fixed header.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "chorale/step_abi.h"

namespace chorale {

struct SectionShape {
  const char* name;
  int64_t element_bytes;
};

// Reads the table that follows a header of header_bytes and checks each entry: aligned, inside the buffer, behind the
// table, no overlap with another. `kind` names the buffer in messages. Absent sections become {0, 0}.
Status ReadSections(const char* kind, std::span<const uint8_t> buffer, int64_t header_bytes,
                    std::span<const SectionShape> shapes, std::span<SectionEntry> out);

// Refuses unless the section has this many elements.
Status CheckCount(const char* section, int64_t count, int64_t expected, const char* expected_name);

// Refuses when the section has more elements than the engine was created for.
Status CheckAtMost(const char* section, int64_t count, int64_t most, const char* limit_name);

// Refuses unless `start` is [0, ..., total] with `items`+1 entries and each entry at least `least` above the one before.
// With no items it may also be absent.
Status CheckStarts(const char* section, std::span<const int32_t> start, int64_t items, int64_t total,
                   const char* total_name, int32_t least);

// Refuses unless begin <= value < end.
Status CheckRange(const char* section, int64_t index, int64_t value, int64_t begin, int64_t end);

}  // namespace chorale
