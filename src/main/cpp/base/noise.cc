#include "base/noise.h"

#include <algorithm>

#include "base/philox.h"

namespace chorale {

void Noise::Fill(int64_t first, int64_t count, float* out) const {
  const float unit = deviation / kNoiseDeviation;
  const int64_t end = first + count;
  for (int64_t block = first / 4; block * 4 < end; ++block) {
    const auto words =
        Philox4x32(seed, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0});
    for (int64_t i = std::max(first, block * 4); i < std::min(end, block * 4 + 4); ++i) {
      const uint32_t word = words[i % 4];
      const auto sum = static_cast<int32_t>((word & 0xff) + (word >> 8 & 0xff) + (word >> 16 & 0xff) + (word >> 24));
      out[i - first] = mean + static_cast<float>(sum - kNoiseMiddle) * unit;
    }
  }
}

}  // namespace chorale
