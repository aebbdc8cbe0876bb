#include "model/host_tensor.h"

#include <algorithm>
#include <cmath>

#include "base/convert.h"
#include "model/image_view.h"

namespace chorale {
namespace {

// A different seed for every tensor of a manifest, whatever seeds its spans name (the finalizer of SplitMix64).
uint64_t SeedOf(const SpanEntry& span) {
  uint64_t x = static_cast<uint64_t>(span.offset) + 0x9e3779b97f4a7c15ULL *
                                                        (static_cast<uint64_t>(span.layer + 1) * 256 + span.role + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

Noise NoiseOf(const SpanEntry& span) {
  if (IsNorm(span.role)) return {.seed = 0, .mean = 1, .deviation = 0};
  if (IsBias(span.role)) return {};
  return {.seed = SeedOf(span), .mean = 0, .deviation = 1 / std::sqrt(static_cast<float>(span.cols))};
}

}  // namespace

Result<HostTensor> HostTensor::Of(const SpanEntry& span, SpanSource& source) {
  HostTensor tensor{.dtype = span.dtype, .rows = span.rows, .cols = span.cols};
  if (span.file == kNoFile) {
    tensor.noise = NoiseOf(span);
    return tensor;
  }
  Result<std::span<const uint8_t>> bytes = source.Map(span);
  if (!bytes.ok()) return bytes.status();
  tensor.bytes = bytes.value();
  tensor.place = source.PlaceOf(span);
  return tensor;
}

HostTensor HostTensor::Cut(const Part& of_rows, const Part& of_cols) const {
  HostTensor part = *this;
  part.stride = stride == 0 ? cols : stride;
  part.first = first + of_rows.begin * part.stride + of_cols.begin;
  part.rows = of_rows.size();
  part.cols = of_cols.size();
  return part;
}

void HostTensor::Read(int64_t begin, int64_t count, float* out) const {
  if (contiguous()) {
    ReadWhole(first + begin, count, out);
    return;
  }
  for (int64_t at = begin; at < begin + count;) {
    const int64_t col = at % cols, here = std::min(cols - col, begin + count - at);
    ReadWhole(first + at / cols * stride + col, here, out);
    out += here;
    at += here;
  }
}

void HostTensor::ReadWhole(int64_t begin, int64_t count, float* out) const {
  if (noise) {
    noise->Fill(begin, count, out);
    RoundTo(dtype, count, out);
  } else if (bytes.empty()) {
    std::fill_n(out, count, 0.0f);
  } else {
    ConvertToFloat(bytes.data() + begin * ElementBytes(dtype), dtype, count, out);
  }
}

}  // namespace chorale
