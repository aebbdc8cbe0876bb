#include "memory/page_layout.h"

#include "base/convert.h"

namespace chorale {
namespace {

// Puts matrices one after another into a range of bytes.
class Packer {
 public:
  explicit Packer(int32_t element_bytes) : element_bytes_(element_bytes) {}

  // Places a matrix of `rank` rank rows, with room for `room`.
  TiledRows Place(int32_t rank, int32_t room, int32_t columns) {
    TiledRows rows{.offset = bytes_, .rank = room, .columns = columns, .element_bytes = element_bytes_};
    bytes_ = (bytes_ + rows.bytes() + kSliceAlign - 1) / kSliceAlign * kSliceAlign;
    rows.rank = rank;
    return rows;
  }
  int64_t bytes() const { return bytes_; }

 private:
  const int32_t element_bytes_;
  int64_t bytes_ = 0;
};

AdapterParts PartsOf(const std::vector<int32_t>& ranks, const std::vector<float>& scales) {
  AdapterParts parts;
  for (size_t i = 0; i < ranks.size(); ++i) parts.linears.push_back({ranks[i], scales[i]});
  return parts;
}

}  // namespace

AdapterLayout::AdapterLayout(const LinearShapes& shapes, const PageGeometry& geometry,
                             const std::vector<int32_t>& ranks, const std::vector<float>& scales)
    : AdapterLayout(shapes, geometry, PartsOf(ranks, scales)) {}

AdapterLayout::AdapterLayout(const LinearShapes& shapes, const PageGeometry& geometry, const AdapterParts& parts)
    : matrices_(static_cast<size_t>(shapes.layers) * kTargets), slice_bytes_(geometry.slice_bytes), page_count_(1) {
  const int32_t element_bytes = ElementBytes(geometry.element);
  for (int32_t layer = 0; layer < shapes.layers; ++layer) {
    Packer packer(element_bytes);
    int32_t rank_sum = 0, part_sum = 0;
    for (int32_t target = 0; target < kTargets; ++target) {
      const int32_t index = layer * kTargets + target;
      const AdapterParts::Pair& pair = parts.linears[index];
      if (pair.rank == 0) continue;
      const bool cut = shapes.cuts_rank[target];
      const Part part = cut ? PartOf(pair.rank, shapes.shard, shapes.shards) : Part{0, pair.rank};
      const int32_t room = cut ? (pair.rank + shapes.shards - 1) / shapes.shards : pair.rank;
      LoraMatrices& matrices = matrices_[index];
      matrices.a = packer.Place(static_cast<int32_t>(part.size()), room, shapes.in[target]);
      matrices.b = packer.Place(pair.rank, pair.rank, shapes.out[target]);
      if (pair.has_gain) matrices.gain = packer.Place(1, 1, shapes.out[target]);
      mergeable_ = mergeable_ && !pair.has_gain;
      matrices.scale = pair.scale;
      matrices.rank_begin = static_cast<int32_t>(part.begin);
      matrices.first_output = shapes.first_output[target];
      rank_sum += pair.rank;
      part_sum += room;
    }
    page_count_ = std::max(page_count_, static_cast<int32_t>((packer.bytes() + slice_bytes_ - 1) / slice_bytes_));
    rank_sum_max_ = std::max(rank_sum_max_, rank_sum);
    rank_part_max_ = std::max(rank_part_max_, part_sum);
  }
  outer_page_ = page_count_;
  Packer packer(element_bytes);
  const int32_t inputs[kOuters] = {shapes.hidden, shapes.vocab}, outputs[kOuters] = {shapes.vocab, shapes.hidden};
  for (int32_t outer = 0; outer < kOuters; ++outer) {
    const AdapterParts::Pair& pair = parts.outer[outer];
    if (pair.rank == 0) continue;
    outer_[outer].a = packer.Place(pair.rank, pair.rank, inputs[outer]);
    outer_[outer].b = packer.Place(pair.rank, pair.rank, outputs[outer]);
    outer_[outer].scale = pair.scale;
  }
  if (parts.has_head) own_head_ = packer.Place(shapes.vocab, shapes.vocab, shapes.hidden);
  mergeable_ = mergeable_ && packer.bytes() == 0;
  page_count_ += static_cast<int32_t>((packer.bytes() + geometry.page_bytes - 1) / geometry.page_bytes);
}

}  // namespace chorale
