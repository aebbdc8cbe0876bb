#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace chorale {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

constexpr std::array<uint32_t, 256> kTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? kPolynomial : 0);
    table[byte] = remainder;
  }
  return table;
}();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cSse42(std::span<const uint8_t> bytes, uint32_t previous) {
  uint64_t state = ~previous;
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + at, sizeof(word));
    state = __builtin_ia32_crc32di(state, word);
  }
  auto tail = static_cast<uint32_t>(state);
  for (; at < bytes.size(); ++at) tail = __builtin_ia32_crc32qi(tail, bytes[at]);
  return ~tail;
}
#endif

}  // namespace

uint32_t Crc32cPortable(std::span<const uint8_t> bytes, uint32_t previous) {
  uint32_t state = ~previous;
  for (uint8_t byte : bytes) state = (state >> 8) ^ kTable[(state ^ byte) & 0xff];
  return ~state;
}

uint32_t Crc32c(std::span<const uint8_t> bytes, uint32_t previous) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return Crc32cSse42(bytes, previous);
#endif
  return Crc32cPortable(bytes, previous);
}

uint32_t Crc32cWithout(std::span<const uint8_t> bytes, size_t crc_at) {
  constexpr std::array<uint8_t, 4> kZeros{};
  uint32_t crc = Crc32c(kZeros, Crc32c(bytes.first(crc_at)));
  return Crc32c(bytes.subspan(crc_at + kZeros.size()), crc);
}

}  // namespace chorale
