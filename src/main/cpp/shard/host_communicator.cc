#include "shard/host_communicator.h"

#include <algorithm>

#include "shard/shard.h"

namespace chorale {
namespace {

float* Row(const void* block, int64_t row) {
  const Block& b = *static_cast<const Block*>(block);
  return static_cast<float*>(b.data) + row * b.stride;
}

}  // namespace

void HostCommunicator::AllReduce(Collective what, const Block& block) {
  Count(what);
  const int32_t shards = group_.shards();
  const std::span<const void* const> blocks = group_.Meet(shard_, &block);
  const Part part = PartOf(block.rows * block.cols, shard_, shards);
  for (int64_t at = part.begin; at < part.end;) {
    const int64_t row = at / block.cols, begin = at % block.cols;
    const int64_t end = std::min(block.cols, begin + part.end - at);
    float* sums = Row(blocks[0], row);
    for (int32_t i = 1; i < shards; ++i) {
      const float* more = Row(blocks[i], row);
      for (int64_t col = begin; col < end; ++col) sums[col] += more[col];
    }
    for (int32_t i = 1; i < shards; ++i) std::copy(sums + begin, sums + end, Row(blocks[i], row) + begin);
    at += end - begin;
  }
  group_.Meet(shard_, nullptr);
}

void HostCommunicator::AllGather(Collective what, const Block& block, std::span<const int64_t> begins) {
  Count(what);
  const std::span<const void* const> blocks = group_.Meet(shard_, &block);
  for (int32_t i = 0; i < group_.shards(); ++i) {
    if (i == shard_) continue;
    for (int64_t row = 0; row < block.rows; ++row) {
      const float* from = Row(blocks[i], row);
      std::copy(from + begins[i], from + begins[i + 1], Row(&block, row) + begins[i]);
    }
  }
  group_.Meet(shard_, nullptr);
}

}  // namespace chorale
