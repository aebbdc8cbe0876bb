#include "memory/page_layout.h"

#include "base/convert.h"
#include "base/part.h"

namespace chorale {
namespace {

// Puts matrices one after another into a range of bytes.
class Packer {
 public:
  explicit Packer(int32_t element_bytes) : element_bytes_(element_bytes) {}

  struct Size {
    int32_t rank = 0;
    int32_t columns = 0;
  };
  // Places a matrix, with room for `room`.
  TiledRows Place(const Size& size, const Size& room) {
    TiledRows rows{.offset = bytes_, .rank = room.rank, .columns = room.columns, .element_bytes = element_bytes_};
    bytes_ = (bytes_ + rows.bytes() + kSliceAlign - 1) / kSliceAlign * kSliceAlign;
    rows.rank = size.rank;
    rows.columns = size.columns;
    return rows;
  }
  TiledRows Place(const Size& size) { return Place(size, size); }
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
      matrices.a = packer.Place({static_cast<int32_t>(part.size()), shapes.in[target]}, {room, shapes.in[target]});
      matrices.b = packer.Place({pair.rank, shapes.out[target]});
      if (pair.has_gain) matrices.gain = packer.Place({1, shapes.base_out[target]});
      has_gains_ = has_gains_ || pair.has_gain;
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
  const auto place = [&](Outer which, int32_t inputs, int32_t outputs, int32_t outputs_room) {
    const AdapterParts::Pair& pair = parts.outer[which];
    if (pair.rank == 0) return;
    outer_[which].a = packer.Place({pair.rank, inputs});
    outer_[which].b = packer.Place({pair.rank, outputs}, {pair.rank, outputs_room});
    outer_[which].scale = pair.scale;
  };
  place(kOuterHead, shapes.hidden, shapes.head, shapes.head_most);
  place(kOuterEmbed, shapes.vocab, shapes.hidden, shapes.hidden);
  if (parts.has_head) own_head_ = packer.Place({shapes.head, shapes.hidden}, {shapes.head_most, shapes.hidden});
  page_count_ += static_cast<int32_t>((packer.bytes() + geometry.page_bytes - 1) / geometry.page_bytes);
}

}  // namespace chorale
