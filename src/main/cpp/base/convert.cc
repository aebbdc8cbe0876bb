#include "base/convert.h"

#include <cstring>

#include "base/half.h"
#include "chorale/image_abi.h"

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

}  // namespace chorale
