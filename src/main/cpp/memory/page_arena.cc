#include "memory/page_arena.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/convert.h"

namespace chorale {

PageGeometry PageGeometry::Of(int32_t layers, int32_t kv_heads, int32_t head_dim, int32_t element,
                              int32_t page_tokens) {
  constexpr int64_t kSliceBytesWanted = 32 << 10;
  const int64_t token_bytes = int64_t{2} * kv_heads * head_dim * ElementBytes(element);
  PageGeometry geometry{
      .element = element, .layers = layers, .kv_heads = kv_heads, .head_dim = head_dim, .page_tokens = page_tokens > 0 ? page_tokens : 16};
  while (page_tokens == 0 && geometry.page_tokens < 64 && geometry.page_tokens * token_bytes < kSliceBytesWanted) geometry.page_tokens *= 2;
  geometry.slice_bytes = (geometry.page_tokens * token_bytes + kSliceAlign - 1) / kSliceAlign * kSliceAlign;
  geometry.page_bytes = geometry.slice_bytes * layers;
  return geometry;
}

Result<PageArena> PageArena::Create(const PageGeometry& geometry, int64_t pool_bytes) {
  const int64_t pages = std::min<int64_t>(pool_bytes / geometry.page_bytes, std::numeric_limits<int32_t>::max());
  if (pages < 1) {
    return Status::Invalid(Format("pool_bytes=%lld holds no page: a page of this model takes %lld bytes",
                                  static_cast<long long>(pool_bytes), static_cast<long long>(geometry.page_bytes)));
  }
  Result<AnonymousMemory> memory = AnonymousMemory::Allocate(pages * geometry.page_bytes, "the page pool");
  if (!memory.ok()) return memory.status();
  PageArena arena;
  arena.geometry_ = geometry;
  arena.page_count_ = static_cast<int32_t>(pages);
  arena.memory_ = std::move(memory).value();
  return arena;
}

void PageArena::FillWithNan(int32_t page_number) const {
  std::memset(page(page_number), 0xff, static_cast<size_t>(geometry_.page_bytes));  // all bits set is a NaN in any format
}

}  // namespace chorale
