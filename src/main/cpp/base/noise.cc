#include "base/noise.h"

#include <algorithm>

#include "base/philox.h"

// Compiled for the wider vectors too; the loader takes what the processor has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define CHORALE_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CHORALE_WIDE
#endif

namespace chorale {
namespace {

constexpr int32_t kLanes = 16;  // blocks of four numbers at a time

float NumberOf(uint32_t word, float mean, float unit) {
  const auto sum = static_cast<int32_t>((word & 0xff) + (word >> 8 & 0xff) + (word >> 16 & 0xff) + (word >> 24));
  return mean + static_cast<float>(sum - kNoiseMiddle) * unit;
}

// Philox4x32 (philox.h) of kLanes neighbouring blocks, side by side so that a compiler can make vectors of them.
CHORALE_WIDE void FillBlocks(uint64_t seed, float mean, float unit, uint64_t first_block, int64_t groups, float* out) {
  for (int64_t group = 0; group < groups; ++group, first_block += kLanes, out += 4 * kLanes) {
    uint32_t c0[kLanes], c1[kLanes], c2[kLanes] = {}, c3[kLanes] = {};
    for (int32_t i = 0; i < kLanes; ++i) {
      c0[i] = static_cast<uint32_t>(first_block + i);
      c1[i] = static_cast<uint32_t>((first_block + i) >> 32);
    }
    auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (int32_t round = 0; round < 10; ++round) {
      for (int32_t i = 0; i < kLanes; ++i) {
        const uint64_t product0 = uint64_t{0xd2511f53} * c0[i], product1 = uint64_t{0xcd9e8d57} * c2[i];
        c0[i] = static_cast<uint32_t>(product1 >> 32) ^ c1[i] ^ key0;
        c1[i] = static_cast<uint32_t>(product1);
        c2[i] = static_cast<uint32_t>(product0 >> 32) ^ c3[i] ^ key1;
        c3[i] = static_cast<uint32_t>(product0);
      }
      key0 += 0x9e3779b9;
      key1 += 0xbb67ae85;
    }
    for (int32_t i = 0; i < kLanes; ++i) {
      out[i * 4] = NumberOf(c0[i], mean, unit);
      out[i * 4 + 1] = NumberOf(c1[i], mean, unit);
      out[i * 4 + 2] = NumberOf(c2[i], mean, unit);
      out[i * 4 + 3] = NumberOf(c3[i], mean, unit);
    }
  }
}

// The numbers [first, end) of one block.
void FillPart(uint64_t seed, float mean, float unit, int64_t first, int64_t end, float* out) {
  const int64_t block = first / 4;
  const auto words = Philox4x32(seed, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0});
  for (int64_t i = first; i < end; ++i) *out++ = NumberOf(words[i % 4], mean, unit);
}

}  // namespace

void Noise::Fill(int64_t first, int64_t count, float* out) const {
  const float unit = deviation / kNoiseDeviation;
  const int64_t end = first + count;
  for (int64_t at = first; at < end;) {
    const int64_t groups = at % 4 == 0 ? (end - at) / (4 * kLanes) : 0;
    if (groups > 0) {
      FillBlocks(seed, mean, unit, static_cast<uint64_t>(at / 4), groups, out + (at - first));
      at += groups * 4 * kLanes;
      continue;
    }
    const int64_t stop = std::min(end, (at / 4 + 1) * 4);
    FillPart(seed, mean, unit, at, stop, out + (at - first));
    at = stop;
  }
}

}  // namespace chorale
