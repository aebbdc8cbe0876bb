// An adapter in host memory, staged in the layout it will have in its pages; and an adapter that has been given pages.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "memory/page_layout.h"

namespace chorale {

// Host memory that a backend has given for a staged adapter, and takes back.
using StagingMemory = std::unique_ptr<uint8_t[], std::function<void(uint8_t*)>>;

// Staged: page i of the image goes to the i-th page that the adapter is given.
class AdapterImage {
 public:
  // memory: page_count() pages of zeros.
  AdapterImage(AdapterLayout layout, const PageGeometry& geometry, StagingMemory memory);

  const std::shared_ptr<const AdapterLayout>& layout() const { return layout_; }
  int64_t bytes() const { return layout_->page_count() * page_bytes_; }
  const uint8_t* slice(int32_t page, int32_t layer) const {
    return memory_.get() + page * page_bytes_ + layer * layout_->slice_bytes();
  }
  // Row j of a tile of a layer, or of kOuterLayer; offset as of TiledRows::row_offset.
  uint8_t* Row(int32_t layer, int64_t offset);
  void FillWithNan();

 private:
  std::shared_ptr<const AdapterLayout> layout_;
  int64_t page_bytes_ = 0;
  StagingMemory memory_;
};

// Resident: where the weights lie in the pool. Immutable; steps in flight share it.
struct ResidentAdapter {
  int32_t slot = 0;
  std::shared_ptr<const AdapterLayout> layout;
  std::vector<int32_t> pages;
};

}  // namespace chorale
