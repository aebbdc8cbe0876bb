#include "memory/page_layout.h"

#include "base/convert.h"

namespace chorale {

AdapterLayout::AdapterLayout(const LinearShapes& shapes, const PageGeometry& geometry,
                             const std::vector<int32_t>& ranks, const std::vector<float>& scales)
    : matrices_(static_cast<size_t>(shapes.layers) * kTargets), slice_bytes_(geometry.slice_bytes), page_count_(1) {
  const int32_t element_bytes = ElementBytes(geometry.element);
  for (int32_t layer = 0; layer < shapes.layers; ++layer) {
    int64_t offset = 0;
    int32_t rank_sum = 0;
    const auto place = [&](int32_t rank, int32_t columns) {
      TiledRows rows{.offset = offset, .rank = rank, .columns = columns, .element_bytes = element_bytes};
      offset = (offset + rows.bytes() + kSliceAlign - 1) / kSliceAlign * kSliceAlign;
      return rows;
    };
    for (int32_t target = 0; target < kTargets; ++target) {
      const int32_t index = layer * kTargets + target;
      const int32_t rank = ranks[index];
      if (rank == 0) continue;
      matrices_[index] = {place(rank, shapes.in[target]), place(rank, shapes.out[target]), scales[index]};
      rank_sum += rank;
    }
    page_count_ = std::max(page_count_, static_cast<int32_t>((offset + slice_bytes_ - 1) / slice_bytes_));
    rank_sum_max_ = std::max(rank_sum_max_, rank_sum);
  }
}

}  // namespace chorale
