#include "lora/adapter_image.h"

#include <cstring>

namespace chorale {

Result<AdapterImage> AdapterImage::Allocate(AdapterLayout layout, const PageGeometry& geometry) {
  Result<AnonymousMemory> memory =
      AnonymousMemory::Allocate(layout.page_count() * geometry.page_bytes, "a staged adapter");
  if (!memory.ok()) return memory.status();
  AdapterImage image;
  image.layout_ = std::make_shared<const AdapterLayout>(std::move(layout));
  image.page_bytes_ = geometry.page_bytes;
  image.memory_ = std::move(memory).value();
  return image;
}

uint8_t* AdapterImage::Row(int32_t layer, int64_t offset) {
  const int64_t slice_bytes = layout_->slice_bytes();
  return memory_.data() + offset / slice_bytes * page_bytes_ + layer * slice_bytes + offset % slice_bytes;
}

void AdapterImage::FillWithNan() { std::memset(memory_.data(), 0xff, static_cast<size_t>(memory_.bytes())); }

}  // namespace chorale
