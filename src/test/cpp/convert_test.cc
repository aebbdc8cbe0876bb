#include "base/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "chorale/image_abi.h"

namespace chorale {
namespace {

float Convert(uint16_t bits, int32_t dtype) {
  uint8_t bytes[3];
  std::memcpy(bytes + 1, &bits, sizeof(bits));  // at an odd address
  float out = 0;
  ConvertToFloat(bytes + 1, dtype, 1, &out);
  return out;
}

// Every number of the format, against its definition.
void CheckAll(int32_t dtype, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1, exponent_max = (1 << exponent_bits) - 1;
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto fraction = static_cast<int>(bits & ((1u << fraction_bits) - 1));
    const auto exponent = static_cast<int>((bits >> fraction_bits) & static_cast<uint32_t>(exponent_max));
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    const float value = Convert(static_cast<uint16_t>(bits), dtype);
    if (exponent == exponent_max && fraction != 0) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      continue;
    }
    const double magnitude = exponent == exponent_max ? INFINITY
                             : exponent == 0
                                 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                                 : std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
    ASSERT_EQ(value, static_cast<float>(sign * magnitude)) << bits;
    ASSERT_EQ(std::signbit(value), sign < 0) << bits;
  }
}

TEST(ConvertTest, ReadsEveryF16) { CheckAll(kF16, 5, 10); }
TEST(ConvertTest, ReadsEveryBf16) { CheckAll(kBF16, 8, 7); }

uint16_t ConvertBack(float value, int32_t dtype) {
  uint16_t bits = 0;
  ConvertFromFloat(&value, dtype, 1, reinterpret_cast<uint8_t*>(&bits));
  return bits;
}

// Every number comes back; halfway to the next goes to the even one, a little more or less to the nearer.
void CheckRounding(int32_t dtype) {
  for (uint32_t bits = 0; bits < 0x7fff; ++bits) {
    const float low = Convert(static_cast<uint16_t>(bits), dtype);
    if (!std::isfinite(low)) continue;
    ASSERT_EQ(ConvertBack(low, dtype), bits);
    ASSERT_EQ(ConvertBack(-low, dtype), bits | 0x8000);
    const float high = Convert(static_cast<uint16_t>(bits + 1), dtype);
    if (!std::isfinite(high)) continue;
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(ConvertBack(middle, dtype), bits % 2 == 0 ? bits : bits + 1) << middle;
    ASSERT_EQ(ConvertBack(std::nextafter(middle, low), dtype), bits);
    ASSERT_EQ(ConvertBack(std::nextafter(middle, high), dtype), bits + 1);
  }
  ASSERT_TRUE(std::isinf(Convert(ConvertBack(INFINITY, dtype), dtype)));
  ASSERT_TRUE(std::isnan(Convert(ConvertBack(NAN, dtype), dtype)));
  ASSERT_EQ(Convert(ConvertBack(LargestFinite(dtype), dtype), dtype), LargestFinite(dtype));
}

TEST(ConvertTest, RoundsToF16) { CheckRounding(kF16); }
TEST(ConvertTest, RoundsToBf16) { CheckRounding(kBF16); }

}  // namespace
}  // namespace chorale
