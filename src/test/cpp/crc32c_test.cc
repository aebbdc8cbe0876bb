#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace chorale {
namespace {

std::vector<uint8_t> Bytes(const char* text) { return {text, text + std::strlen(text)}; }

// The vectors of RFC 3720, B.4, and the usual check value.
TEST(Crc32c, GivesThePublishedValues) {
  EXPECT_EQ(Crc32c({}), 0u);
  EXPECT_EQ(Crc32c(Bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::vector<uint8_t>(32, 0x00)), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::vector<uint8_t>(32, 0xff)), 0x62a8ab43u);
  std::vector<uint8_t> ascending(32);
  std::iota(ascending.begin(), ascending.end(), 0);
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
}

TEST(Crc32c, IsTheSameInPiecesAndWithoutTheInstruction) {
  std::vector<uint8_t> bytes(101);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * i * 7 + 3);
  std::span<const uint8_t> all(bytes);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    EXPECT_EQ(Crc32c(all.subspan(cut), Crc32c(all.first(cut))), Crc32c(all));
    EXPECT_EQ(Crc32cPortable(all.first(cut)), Crc32c(all.first(cut)));
  }
}

TEST(Crc32c, CountsItsOwnFieldAsZero) {
  std::vector<uint8_t> bytes = Bytes("abcdXXXXefgh");
  std::vector<uint8_t> zeroed = bytes;
  std::fill_n(zeroed.begin() + 4, 4, 0);
  EXPECT_EQ(Crc32cWithout(bytes, 4), Crc32c(zeroed));
}

}  // namespace
}  // namespace chorale
