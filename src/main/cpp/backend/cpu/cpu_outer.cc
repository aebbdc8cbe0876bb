// What adapters do outside the layers: to the embedding, to the LM head, and instead of it.
#include <algorithm>
#include <array>

#include "backend/cpu/cpu_backend.h"

namespace chorale {
namespace {

constexpr int64_t kWordsPerSlice = 512;

}  // namespace

double CpuBackend::OuterDot(const ResidentAdapter& adapter, const TiledRows& rows, int32_t j, const float* x) const {
  double sum = 0;
  for (int32_t tile = 0; tile < rows.tiles(); ++tile) {
    const float* row = OuterRow(adapter, rows, tile, j);
    for (int32_t i = 0; i < rows.used(tile); ++i) sum += static_cast<double>(row[i]) * x[tile * kTileColumns + i];
  }
  return sum;
}

// The outputs of one tile of B: y += scale * B v
void CpuBackend::AddOuterOutputs(const ResidentAdapter& adapter, const TiledRows& rows, int32_t tile,
                                 std::span<const double> v, double scale, float* y) const {
  std::array<double, kTileColumns> sums{};
  for (int32_t j = 0; j < rows.rank; ++j) {
    const float* row = OuterRow(adapter, rows, tile, j);
    for (int32_t i = 0; i < rows.used(tile); ++i) sums[i] += row[i] * v[j];
  }
  for (int32_t i = 0; i < rows.used(tile); ++i) {
    float& out = y[tile * kTileColumns + i];
    out = static_cast<float>(out + scale * sums[i]);
  }
}

void CpuBackend::AddToEmbedded(const EmbedParams& params) {
  if (!lora_->has_outer) return;
  std::vector<double> v;
  for (const LoraGroup& group : lora_->groups) {
    for (int32_t use = group.use_begin; use < group.use_end; ++use) {
      const ResidentAdapter& adapter = *lora_->uses[use].adapter;
      const LoraMatrices& embed = adapter.layout->outer(kOuterEmbed);
      const double scale = static_cast<double>(lora_->uses[use].scale) * embed.scale;
      for (int32_t row = group.row_begin; embed.rank() > 0 && row < group.row_end; ++row) {
        const int32_t token = token_ids_[row];
        v.resize(static_cast<size_t>(embed.rank()));
        for (int32_t j = 0; j < embed.rank(); ++j) {
          v[j] = OuterRow(adapter, embed.a, token / kTileColumns, j)[token % kTileColumns];
        }
        for (int32_t tile = 0; tile < embed.b.tiles(); ++tile) {
          AddOuterOutputs(adapter, embed.b, tile, v, scale, Cpu(params.out).row(row));
        }
      }
    }
  }
}

void CpuBackend::AddToLogits(const LogitsParams& params) {
  if (!lora_->has_outer) return;
  std::vector<double> v;
  for (int32_t k = 0; k < params.count; ++k) {
    const LoraGroup* group = lora_->GroupOf(step_->sample_row()[k]);
    const float* x = Cpu(params.x).row(k);
    float* logits = Cpu(params.logits).row(k) + params.first;
    for (int32_t use = group == nullptr ? 0 : group->use_begin; group != nullptr && use < group->use_end; ++use) {
      const ResidentAdapter& adapter = *lora_->uses[use].adapter;
      const TiledRows& own = adapter.layout->own_head();
      pool_.Run((own.rank + kWordsPerSlice - 1) / kWordsPerSlice, [&](int64_t slice, int32_t) {
        const auto end = static_cast<int32_t>(std::min<int64_t>(own.rank, (slice + 1) * kWordsPerSlice));
        for (auto word = static_cast<int32_t>(slice * kWordsPerSlice); word < end; ++word) {
          logits[word] = static_cast<float>(OuterDot(adapter, own, word, x));
        }
      });
      const LoraMatrices& head = adapter.layout->outer(kOuterHead);
      v.resize(static_cast<size_t>(head.rank()));
      for (int32_t j = 0; j < head.rank(); ++j) v[j] = OuterDot(adapter, head.a, j, x);
      const double scale = static_cast<double>(lora_->uses[use].scale) * head.scale;
      pool_.Run(head.b.tiles(), [&](int64_t tile, int32_t) {
        AddOuterOutputs(adapter, head.b, static_cast<int32_t>(tile), v, scale, logits);
      });
    }
  }
}

}  // namespace chorale
