#include "base/convert.h"

#include <cstring>
#include <limits>

#include "base/half.h"

namespace chorale {

void ConvertToFloat(const uint8_t* bytes, int32_t dtype, int64_t count, float* out) {
  if (dtype == kF32) {
    std::memcpy(out, bytes, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, bytes + 2 * i, sizeof(bits));
    out[i] = dtype == kF16 ? FloatOfF16(bits) : FloatOfBf16(bits);
  }
}

void ConvertFromFloat(const float* values, int32_t dtype, int64_t count, uint8_t* out) {
  if (dtype == kF32) {
    std::memcpy(out, values, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t bits = dtype == kF16 ? F16OfFloat(values[i]) : Bf16OfFloat(values[i]);
    std::memcpy(out + 2 * i, &bits, sizeof(bits));
  }
}

void RoundTo(int32_t dtype, int64_t count, float* values) {
  if (dtype == kF32) return;
  for (int64_t i = 0; i < count; ++i) {
    values[i] = dtype == kF16 ? FloatOfF16(F16OfFloat(values[i])) : FloatOfBf16(Bf16OfFloat(values[i]));
  }
}

float LargestFinite(int32_t dtype) {
  return dtype == kF16 ? 65504.0f : dtype == kBF16 ? FloatOfBf16(0x7f7f) : std::numeric_limits<float>::max();
}

}  // namespace chorale
