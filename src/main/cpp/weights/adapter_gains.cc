#include "weights/adapter_gains.h"

#include <algorithm>
#include <cmath>

#include "base/convert.h"
#include "lora/adapter_tensor.h"
#include "shard/shard_cut.h"

namespace chorale {
namespace {

// squares[n] = |W + s B A|^2 of row n of the whole linear.
Status SumSquares(std::span<const BasePart> shards, int32_t layer, Target target, const SpanEntry& b,
                  std::span<const float> a_values, std::span<const float> b_values, std::span<double> squares) {
  const int64_t rank = b.cols, a_cols = std::ssize(a_values) / rank;
  int64_t summed = 0;  // rows that are whole already: some shards have the same
  for (const BasePart& part : shards) {
    const auto [site, row_begin] = PlaceOf(part.weights->spec, target);
    const LinearShapes& shapes = *part.shapes;
    const int64_t begin = shapes.base_begin[target], rows = shapes.base_out[target];
    if (!SumsProducts(target)) {
      if (begin < summed) continue;
      summed = begin + rows;
    }
    part.backend->Bind();
    CHORALE_RETURN_IF_ERROR(part.backend->AddRowSquares({.weight = part.weights->layers[layer].linear[site].get(),
                                                         .row_begin = row_begin,
                                                         .a = a_values.data() + shapes.in_begin[target],
                                                         .a_stride = a_cols,
                                                         .b = b_values.data() + begin * rank,
                                                         .rank = static_cast<int32_t>(rank),
                                                         .scale = b.scale,
                                                         .squares = squares.subspan(begin, rows)}));
  }
  return Status::Ok();
}

}  // namespace

Result<AdapterGains> AdapterGains::Of(const ManifestView& manifest, SpanSource& source, std::span<const BasePart> shards) {
  AdapterGains all;
  const int32_t element = shards[0].backend->geometry().element;
  std::vector<float> magnitudes, a_values, b_values;
  for (const SpanEntry& magnitude : manifest.spans()) {
    if (magnitude.role < kRoleMagnitude || magnitude.role >= kRoleHeadA) continue;
    const int32_t target = magnitude.role - kRoleMagnitude, layer = magnitude.layer;
    const SpanEntry* a = manifest.Find(kRoleLoraA + target, layer);
    const SpanEntry* b = manifest.Find(kRoleLoraB + target, layer);
    CHORALE_RETURN_IF_ERROR(ReadTensor(source, magnitude, 0, 1, element, &magnitudes));
    CHORALE_RETURN_IF_ERROR(ReadTensor(source, *a, 0, a->rows, element, &a_values));
    CHORALE_RETURN_IF_ERROR(ReadTensor(source, *b, 0, b->rows, element, &b_values));
    all.gains_.resize(shards[0].weights->layers.size() * kTargets);
    std::vector<double>& gains = all.gains_[layer * kTargets + target];
    gains.assign(static_cast<size_t>(b->rows), 0.0);
    CHORALE_RETURN_IF_ERROR(SumSquares(shards, layer, static_cast<Target>(target), *b, a_values, b_values, gains));
    for (int64_t n = 0; n < b->rows; ++n) {
      const double norm = std::sqrt(gains[n]);
      gains[n] = magnitudes[n] / norm;
      if (!(std::abs(gains[n]) <= LargestFinite(element))) {
        return Status::Invalid(Format("%s: element %lld is %g, for a row of weights whose norm is %g",
                                      SpanName(magnitude.role, layer).c_str(), static_cast<long long>(n),
                                      static_cast<double>(magnitudes[n]), norm));
      }
    }
  }
  return all;
}

}  // namespace chorale
