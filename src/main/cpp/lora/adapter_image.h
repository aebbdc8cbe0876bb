// An adapter in host memory, staged in the layout it will have in its pages; and an adapter that has been given pages.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/anonymous_memory.h"
#include "memory/page_layout.h"

namespace chorale {

// Staged: page i of the image goes to the i-th page that the adapter is given.
class AdapterImage {
 public:
  static Result<AdapterImage> Allocate(AdapterLayout layout, const PageGeometry& geometry);

  const std::shared_ptr<const AdapterLayout>& layout() const { return layout_; }
  int64_t bytes() const { return memory_.bytes(); }
  const uint8_t* slice(int32_t page, int32_t layer) const { return memory_.data() + page * page_bytes_ + layer * layout_->slice_bytes(); }
  // Row j of a tile; offset as of TiledRows::row_offset.
  uint8_t* Row(int32_t layer, int64_t offset);
  void FillWithNan();

 private:
  std::shared_ptr<const AdapterLayout> layout_;
  int64_t page_bytes_ = 0;
  AnonymousMemory memory_;
};

// Resident: where the weights lie in the pool. Immutable; steps in flight share it.
struct ResidentAdapter {
  std::shared_ptr<const AdapterLayout> layout;
  std::vector<int32_t> pages;
};

}  // namespace chorale
