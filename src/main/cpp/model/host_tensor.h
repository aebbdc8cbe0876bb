// HostTensor: the numbers of a matrix or vector, as they lie in a file or as a formula makes them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/noise.h"
#include "base/status.h"
#include "chorale/image_abi.h"
#include "model/span_source.h"

namespace chorale {

struct HostTensor {
  std::span<const uint8_t> bytes;  // empty with noise, and for a vector of zeros
  int32_t dtype = kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  std::optional<Noise> noise;

  // The tensor of a span; valid as long as the source.
  static Result<HostTensor> Of(const SpanEntry& span, SpanSource& source);

  // Elements [first, first + count), row-major, as the numbers that the tensor's type can hold.
  void Read(int64_t first, int64_t count, float* out) const;
};

}  // namespace chorale
