// HostTensor: the numbers of a matrix or vector, or of a rectangle of one, as they lie in a file or as a formula makes
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/noise.h"
#include "base/part.h"
#include "base/status.h"
#include "chorale/image_abi.h"
#include "model/span_source.h"

namespace chorale {

struct HostTensor {
  std::span<const uint8_t> bytes;  // of the whole; empty with noise, and for a vector of zeros
  int32_t dtype = kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  FilePlace place;                 // where `bytes` may be read instead, if anywhere
  std::optional<Noise> noise;      // of the whole
  int64_t first = 0;               // of the whole's elements, the first of this rectangle
  int64_t stride = 0;              // from row to row of it; 0: cols

  // The tensor of a span; valid as long as the source.
  static Result<HostTensor> Of(const SpanEntry& span, SpanSource& source);

  HostTensor Cut(const Part& of_rows, const Part& of_cols) const;
  // Whether its elements are neighbours in the whole: they begin at ElementBytes(dtype) * first.
  bool contiguous() const { return rows <= 1 || stride == 0 || stride == cols; }

  // Elements [begin, begin + count), row-major, as the numbers that the tensor's type can hold.
  void Read(int64_t begin, int64_t count, float* out) const;

 private:
  void ReadWhole(int64_t begin, int64_t count, float* out) const;
};

}  // namespace chorale
