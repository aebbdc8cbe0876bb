#include "memory/page_layout.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "lora/adapter_image.h"

namespace chorale {
namespace {

TEST(PageGeometryTest, TakesTheFewestTokensThatReach32KiB) {
  const struct {
    int32_t kv_heads, head_dim, element, page_tokens;
    int64_t slice_bytes;
  } cases[] = {{32, 128, kBF16, 16, 256 << 10},  // Llama-2-7B in bf16
               {8, 128, kBF16, 16, 64 << 10},    // Llama-3-8B
               {4, 64, kF16, 32, 32 << 10},     // TinyLlama
               {2, 64, kF16, 64, 32 << 10},     // Qwen2.5-0.5B
               {2, 32, kF32, 64, 32 << 10},     // Fable in float32
               {1, 16, kF32, 64, 8 << 10},      // never reaches it
               {3, 7, kF32, 64, 10752}};        // 64 * 3 * 7 * 8 = 10,752, a multiple of 512
  for (const auto& c : cases) {
    const PageGeometry g = PageGeometry::Of(5, c.kv_heads, c.head_dim, c.element);
    EXPECT_EQ(g.page_tokens, c.page_tokens) << c.kv_heads << " heads of " << c.head_dim;
    EXPECT_EQ(g.slice_bytes, c.slice_bytes);
    EXPECT_EQ(g.page_bytes, 5 * c.slice_bytes);
  }
}

TEST(PageArenaTest, RefusesAPoolWithoutAPage) {
  const PageGeometry g = PageGeometry::Of(2, 2, 32, kF32);
  EXPECT_FALSE(PageArena::Create(g, g.page_bytes - 1).ok());
  EXPECT_EQ(PageArena::Create(g, 3 * g.page_bytes - 1).value().page_count(), 2);
}

TEST(PageLayoutTest, KeysAndValuesOfAllHeadsAreApart) {
  const PageGeometry g = PageGeometry::Of(1, 3, 5, kF32);
  std::vector<int32_t> used(g.slice_bytes / 4, 0);
  for (int32_t head = 0; head < g.kv_heads; ++head) {
    for (int32_t d = 0; d < g.head_dim; ++d) {
      for (int32_t token = 0; token < g.page_tokens; ++token) {
        ++used.at(KeyOffset(g, head) + d * g.page_tokens + token);
        ++used.at(ValueOffset(g, head) + token * g.head_dim + d);
      }
    }
  }
  const int64_t wanted = int64_t{2} * g.kv_heads * g.head_dim * g.page_tokens;
  EXPECT_EQ(std::count(used.begin(), used.end(), 1), wanted);
  EXPECT_EQ(std::count(used.begin(), used.end(), 0), static_cast<int64_t>(used.size()) - wanted);
}

// Whatever the shapes and ranks: every rank row lies inside one slice, and no two overlap.
TEST(AdapterLayoutTest, RowsNeitherStraddleSlicesNorOverlap) {
  std::mt19937 random(20261121);
  for (int round = 0; round < 200; ++round) {
    LinearShapes shapes{.layers = 1 + static_cast<int32_t>(random() % 3)};
    for (int32_t t = 0; t < kTargets; ++t) {
      shapes.in[t] = 1 + static_cast<int32_t>(random() % 400);
      shapes.out[t] = 1 + static_cast<int32_t>(random() % 400);
    }
    const PageGeometry g = PageGeometry::Of(shapes.layers, 1 + static_cast<int32_t>(random() % 3),
                                            1 + static_cast<int32_t>(random() % 40), round % 2 == 0 ? kF32 : kF16);
    std::vector<int32_t> ranks(shapes.layers * kTargets);
    for (int32_t& rank : ranks) rank = random() % 3 == 0 ? 0 : static_cast<int32_t>(random() % 130);
    const AdapterLayout layout(shapes, g, ranks, std::vector<float>(ranks.size(), 1.0f));
    for (int32_t layer = 0; layer < shapes.layers; ++layer) {
      std::map<int64_t, int64_t> rows;  // begin -> end
      for (int32_t t = 0; t < kTargets; ++t) {
        const LoraMatrices& lora = layout.at(layer, t);
        ASSERT_EQ(lora.rank(), ranks[layer * kTargets + t]);
        for (const TiledRows* matrix : {&lora.a, &lora.b}) {
          for (int32_t tile = 0; lora.rank() > 0 && tile < matrix->tiles(); ++tile) {
            ASSERT_GE(matrix->width(tile), matrix->used(tile));
            for (int32_t j = 0; j < matrix->rank; ++j) {
              const int64_t begin = matrix->row_offset(tile, j), end = begin + matrix->row_bytes(tile);
              ASSERT_EQ(begin / g.slice_bytes, (end - 1) / g.slice_bytes) << "round " << round;
              ASSERT_LE(end, layout.page_count() * g.slice_bytes);
              ASSERT_TRUE(rows.emplace(begin, end).second);
            }
          }
        }
      }
      int64_t last_end = 0;
      for (const auto& [begin, end] : rows) {
        ASSERT_GE(begin, last_end) << "round " << round;
        last_end = end;
      }
    }
  }
}

TEST(AdapterLayoutTest, StoresRanksExactly) {
  // Rank 5 on q of a 128 x 128 linear: 5 rows of 512 bytes for A and for B, and nothing else.
  LinearShapes shapes{.layers = 1};
  std::fill_n(shapes.in, kTargets, 128);
  std::fill_n(shapes.out, kTargets, 128);
  std::vector<int32_t> ranks(kTargets, 0);
  ranks[kQ] = 5;
  PageGeometry g{.layers = 1, .kv_heads = 1, .head_dim = 1, .page_tokens = 64, .slice_bytes = 5120, .page_bytes = 5120};
  EXPECT_EQ(AdapterLayout(shapes, g, ranks, std::vector<float>(kTargets, 1.0f)).page_count(), 1);
  ranks[kQ] = 6;
  EXPECT_EQ(AdapterLayout(shapes, g, ranks, std::vector<float>(kTargets, 1.0f)).page_count(), 2);
}

}  // namespace
}  // namespace chorale
