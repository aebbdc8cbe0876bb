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
  return tensor;
}

void HostTensor::Read(int64_t first, int64_t count, float* out) const {
  if (noise) {
    noise->Fill(first, count, out);
    RoundTo(dtype, count, out);
  } else if (bytes.empty()) {
    std::fill_n(out, count, 0.0f);
  } else {
    ConvertToFloat(bytes.data() + first * ElementBytes(dtype), dtype, count, out);
  }
}

}  // namespace chorale
