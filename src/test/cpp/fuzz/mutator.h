// Deterministic mutations of byte buffers: what all fuzzers here share. The same seed gives the same inputs.
#pragma once

#include <sanitizer/common_interface_defs.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace chorale::fuzz {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  // A number of the kind at which bounds break, or near one that is there now.
  int64_t Number(int64_t now) {
    static constexpr int64_t kExtremes[] = {0,         1,         -1,        2,         7,         15,
                                            16,        64,        255,       INT16_MAX, INT32_MAX, INT32_MIN,
                                            INT64_MAX, INT64_MIN, 1LL << 32, 1LL << 62, INT64_MAX / 56, INT64_MAX - 15};
    switch (Below(5)) {
      case 0:
        return kExtremes[Below(std::size(kExtremes))];
      case 1:
        return now + static_cast<int64_t>(Below(33)) - 16;
      case 2:
        return static_cast<int64_t>(static_cast<uint64_t>(now) << Below(40));
      case 3:
        return static_cast<int64_t>(static_cast<uint64_t>(now) ^ (uint64_t{1} << Below(64)));
      default:
        return static_cast<int64_t>(Below(64));
    }
  }

  // Writes such a number over the `width` bytes (4 or 8) at `at`.
  void Lie(std::vector<uint8_t>& bytes, size_t at, size_t width) {
    if (at + width > bytes.size()) return;
    int64_t value = 0;
    std::memcpy(&value, bytes.data() + at, width);
    if (width == 4) value = static_cast<int32_t>(value);
    if (OneIn(6)) {  // a float that is no number
      static constexpr uint32_t kFloats[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x80000000, 0x00000001, 0x7f7fffff};
      value = kFloats[Below(std::size(kFloats))];
    } else {
      value = Number(value);
    }
    std::memcpy(bytes.data() + at, &value, width);
  }

  // Knows nothing of the format: flips, overwrites, splices, cuts and grows.
  void Blind(std::vector<uint8_t>& bytes) {
    if (bytes.empty()) return;
    size_t at = Below(bytes.size());
    switch (Below(6)) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1 << Below(8));
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(Below(256));
        break;
      case 2:
        Lie(bytes, at / 4 * 4, OneIn(2) ? 4 : 8);
        break;
      case 3: {  // a piece of itself somewhere else
        size_t from = Below(bytes.size());
        size_t length = Below(std::min(bytes.size() - from, bytes.size() - at) + 1);
        std::memmove(bytes.data() + at, bytes.data() + from, length);
        break;
      }
      case 4:
        bytes.resize(at);
        break;
      default:
        bytes.insert(bytes.end(), Below(64), static_cast<uint8_t>(Below(256)));
        break;
    }
  }

 private:
  std::mt19937_64 random_;
};

inline uint64_t current_seed;  // of the input that is being tried

inline void PrintSeed() {
  std::fprintf(stderr, "seed of the input: %llu\n", static_cast<unsigned long long>(current_seed));
}

// Fails the fuzzer loudly.
inline void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "BROKEN: %s\n", what);
  PrintSeed();
  std::_Exit(1);
}

struct Tally {
  int64_t accepted = 0;
  int64_t refused = 0;
};

// Runs `input` (a function of a mutator that returns whether the input was accepted) argv[1] times (100,000) from seed
// argv[2] (1). Each input has its own seed, so that argv = 1 <seed> repeats one.
template <typename Input>
int Run(const char* name, int argc, char** argv, const Input& input) {
  uint64_t inputs = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100'000;
  uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  std::printf("%s: %llu inputs from seed %llu\n", name, static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(seed));
  __sanitizer_set_death_callback(PrintSeed);
  Tally tally;
  for (uint64_t i = 0; i < inputs; ++i) {
    current_seed = seed + i;
    Mutator mutator(current_seed);
    ++(input(mutator) ? tally.accepted : tally.refused);
  }
  std::printf("%s: %lld accepted, %lld refused\n", name, static_cast<long long>(tally.accepted),
              static_cast<long long>(tally.refused));
  // A fuzzer that never gets through, or always does, tests nothing.
  bool reaches_both = inputs < 1000 || (tally.accepted * 100 > tally.refused && tally.refused * 100 > tally.accepted);
  if (!reaches_both) std::fprintf(stderr, "%s: hardly any input is accepted, or hardly any refused\n", name);
  return reaches_both ? 0 : 1;
}

}  // namespace chorale::fuzz
