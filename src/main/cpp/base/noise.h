// Noise: a bell-shaped number for every seed and index, the same to the bit wherever it is computed (kernels/random.cu is
// the same formula on a device), so that a backend makes its weights where it wants them.
//
//   number(seed, i) = mean + (sum of the four bytes of word i % 4 of Philox(seed, i / 4) - 510) * (deviation / 147.8)
//
// Four bytes added up come near a normal distribution, and exact integers leave few roundings: with a mean of 0, one.
#pragma once

#include <cstdint>

namespace chorale {

struct Noise {
  uint64_t seed = 0;
  float mean = 0;
  float deviation = 0;

  // out[i] = the number of index first + i.
  void Fill(int64_t first, int64_t count, float* out) const;
};

inline constexpr int32_t kNoiseMiddle = 510;         // mean of the sum of four bytes
inline constexpr float kNoiseDeviation = 147.8005f;  // its standard deviation: sqrt(4 * (256^2 - 1) / 12)

}  // namespace chorale
