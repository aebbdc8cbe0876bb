// PageArena: one contiguous range of equal pages, which hold either KV cache or adapter weights.
//
//   page  = a slice of every layer
//   slice = keys and values of page_tokens tokens of one layer, or a part of one adapter's weights of that layer
//   address = pool + page * page_bytes + layer * slice_bytes + offset
//
// so that one page number is valid in every layer. Who owns which page is Java's business; here a number becomes an
// address and nothing more.
#pragma once

#include <cstdint>
#include <span>

#include "base/anonymous_memory.h"
#include "base/status.h"
#include "chorale/image_abi.h"

namespace chorale {

struct PageGeometry {
  int32_t element = kF32;  // DType of keys, values and adapter weights in pages
  int32_t layers = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t page_tokens = 0;
  int64_t slice_bytes = 0;
  int64_t page_bytes = 0;

  // page_tokens: 0 for the smallest of 16, 32, 64 whose slice reaches 32 KiB, else 64. Slices are rounded up to
  // kSliceAlign.
  static PageGeometry Of(int32_t layers, int32_t kv_heads, int32_t head_dim, int32_t element, int32_t page_tokens = 0);
};

inline constexpr int64_t kSliceAlign = 512;  // one rank row of an adapter tile (page_layout.h) never straddles slices

class PageArena {
 public:
  PageArena() = default;
  static Result<PageArena> Create(const PageGeometry& geometry, int64_t pool_bytes);

  const PageGeometry& geometry() const { return geometry_; }
  int32_t page_count() const { return page_count_; }
  uint8_t* page(int32_t page) const { return memory_.data() + page * geometry_.page_bytes; }
  uint8_t* slice(int32_t page_number, int32_t layer) const { return page(page_number) + layer * geometry_.slice_bytes; }

  void FillWithNan(int32_t page_number) const;

 private:
  PageGeometry geometry_;
  int32_t page_count_ = 0;
  AnonymousMemory memory_;
};

}  // namespace chorale
