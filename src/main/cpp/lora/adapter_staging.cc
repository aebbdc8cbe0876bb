#include "lora/adapter_staging.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/convert.h"
#include "model/host_tensor.h"

namespace chorale {
namespace {

// Rows [begin, begin + rows) of the tensor as float32; its numbers must be such as `element` can hold.
Status Read(SpanSource& source, const SpanEntry& span, int64_t begin, int64_t rows, int32_t element,
            std::vector<float>* out) {
  const Result<HostTensor> tensor = HostTensor::Of(span, source);
  if (!tensor.ok()) return tensor.status();
  out->resize(static_cast<size_t>(rows * span.cols));
  tensor.value().Read(begin * span.cols, rows * span.cols, out->data());
  const float largest = LargestFinite(element);
  const auto bad = std::find_if_not(out->begin(), out->end(), [&](float value) { return std::abs(value) <= largest; });
  if (bad != out->end()) {
    return Status::Invalid(Format("%s: element %lld is %g", SpanName(span.role, span.layer).c_str(),
                                  static_cast<long long>(begin * span.cols + (bad - out->begin())), *bad));
  }
  return Status::Ok();
}

// Puts element (j, i) of a matrix with one row a rank at its place; `at` reads the element of the tensor.
template <typename At>
void Place(const TiledRows& rows, int32_t layer, int32_t element, AdapterImage* image, const At& at) {
  std::array<float, kTileColumns> row;
  for (int32_t tile = 0; tile < rows.tiles(); ++tile) {
    for (int32_t j = 0; j < rows.rank; ++j) {
      for (int32_t i = 0; i < rows.used(tile); ++i) row[i] = at(j, tile * kTileColumns + i);
      ConvertFromFloat(row.data(), element, rows.used(tile), image->Row(layer, rows.row_offset(tile, j)));
    }
  }
}

}  // namespace

Result<AdapterImage> StageAdapter(const ManifestView& manifest, SpanSource& source, const LinearShapes& shapes,
                                  Backend& backend) {
  const PageGeometry& geometry = backend.geometry();
  std::vector<int32_t> ranks(static_cast<size_t>(shapes.layers) * kTargets, 0);
  std::vector<float> scales(ranks.size(), 0.0f);
  for (const SpanEntry& span : manifest.spans()) {
    if (span.role < kRoleLoraB) continue;
    const int32_t index = span.layer * kTargets + span.role - kRoleLoraB;
    ranks[index] = static_cast<int32_t>(span.cols);
    scales[index] = span.scale;
  }
  AdapterLayout layout(shapes, geometry, ranks, scales);
  Result<StagingMemory> memory = backend.AllocateStaging(layout.page_count() * geometry.page_bytes);
  if (!memory.ok()) return memory.status();
  AdapterImage image(std::move(layout), geometry, std::move(memory).value());
  std::vector<float> values;
  for (const SpanEntry& span : manifest.spans()) {
    const bool is_a = span.role < kRoleLoraB;
    const int32_t target = span.role - (is_a ? kRoleLoraA : kRoleLoraB);
    const LoraMatrices& place = image.layout()->at(span.layer, target);
    const int64_t begin = is_a ? place.rank_begin : shapes.out_begin[target];
    const int64_t rows = is_a ? place.a.rank : place.b.columns;
    CHORALE_RETURN_IF_ERROR(Read(source, span, begin, rows, geometry.element, &values));
    const int64_t cols = span.cols;
    if (is_a) {
      const float* first = values.data() + shapes.in_begin[target];
      Place(place.a, span.layer, geometry.element, &image, [&](int32_t j, int32_t i) { return first[j * cols + i]; });
    } else {
      Place(place.b, span.layer, geometry.element, &image, [&](int32_t j, int32_t i) { return values[i * cols + j]; });
    }
  }
  return image;
}

}  // namespace chorale
