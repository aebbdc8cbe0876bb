#include "lora/adapter_image.h"

#include <cstring>

namespace chorale {

AdapterImage::AdapterImage(AdapterLayout layout, const PageGeometry& geometry, StagingMemory memory)
    : layout_(std::make_shared<const AdapterLayout>(std::move(layout))),
      page_bytes_(geometry.page_bytes),
      memory_(std::move(memory)) {}

uint8_t* AdapterImage::Row(int32_t layer, int64_t offset) {
  if (layer == kOuterLayer) return memory_.get() + layout_->outer_page() * page_bytes_ + offset;
  const int64_t slice_bytes = layout_->slice_bytes();
  return memory_.get() + offset / slice_bytes * page_bytes_ + layer * slice_bytes + offset % slice_bytes;
}

void AdapterImage::FillWithNan() { std::memset(memory_.get(), 0xff, static_cast<size_t>(bytes())); }

}  // namespace chorale
