#include "memory/page_layout.h"

#include "base/convert.h"

namespace chorale {

AdapterLayout::AdapterLayout(const LinearShapes& shapes, const PageGeometry& geometry,
                             const std::vector<int32_t>& ranks, const std::vector<float>& scales)
    : matrices_(static_cast<size_t>(shapes.layers) * kTargets), slice_bytes_(geometry.slice_bytes), page_count_(1) {
  const int32_t element_bytes = ElementBytes(geometry.element);
  for (int32_t layer = 0; layer < shapes.layers; ++layer) {
    int64_t offset = 0;
    int32_t rank_sum = 0, part_sum = 0;
    // Places a matrix of `rank` rank rows, with room for `room`.
    const auto place = [&](int32_t rank, int32_t room, int32_t columns) {
      TiledRows rows{.offset = offset, .rank = room, .columns = columns, .element_bytes = element_bytes};
      offset = (offset + rows.bytes() + kSliceAlign - 1) / kSliceAlign * kSliceAlign;
      rows.rank = rank;
      return rows;
    };
    for (int32_t target = 0; target < kTargets; ++target) {
      const int32_t index = layer * kTargets + target;
      const int32_t rank = ranks[index];
      if (rank == 0) continue;
      const bool cut = shapes.cuts_rank[target];
      const Part part = cut ? PartOf(rank, shapes.shard, shapes.shards) : Part{0, rank};
      const int32_t room = cut ? (rank + shapes.shards - 1) / shapes.shards : rank;
      LoraMatrices& matrices = matrices_[index];
      matrices.a = place(static_cast<int32_t>(part.size()), room, shapes.in[target]);
      matrices.b = place(rank, rank, shapes.out[target]);
      matrices.scale = scales[index];
      matrices.rank_begin = static_cast<int32_t>(part.begin);
      matrices.first_output = shapes.first_output[target];
      rank_sum += rank;
      part_sum += room;
    }
    page_count_ = std::max(page_count_, static_cast<int32_t>((offset + slice_bytes_ - 1) / slice_bytes_));
    rank_sum_max_ = std::max(rank_sum_max_, rank_sum);
    rank_part_max_ = std::max(rank_part_max_, part_sum);
  }
}

}  // namespace chorale
