// Part: consecutive things of a range, and the equal parts that it is cut into.
#pragma once

#include <cstdint>

namespace chorale {

struct Part {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// Part `index` of `count` of a range: sizes differ by one at most.
inline Part PartOf(int64_t total, int32_t index, int32_t count) {
  return {total * index / count, total * (index + 1) / count};
}

}  // namespace chorale
