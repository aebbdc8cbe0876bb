#include "lora/adapter_staging.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
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

// What the manifest has, and whether the backend computes it.
Result<AdapterParts> PartsOf(const ManifestView& manifest, const LinearShapes& shapes, const Backend& backend) {
  AdapterParts parts;
  parts.linears.resize(static_cast<size_t>(shapes.layers) * kTargets);
  for (const SpanEntry& span : manifest.spans()) {
    const auto index = [&](int32_t first) { return span.layer * kTargets + span.role - first; };
    if (span.role == kRoleHead) {
      parts.has_head = true;
    } else if (span.role == kRoleHeadB || span.role == kRoleEmbedB) {
      AdapterParts::Pair& pair = parts.outer[span.role == kRoleHeadB ? kOuterHead : kOuterEmbed];
      pair.rank = static_cast<int32_t>(span.cols);
      pair.scale = span.scale;
    } else if (span.role >= kRoleMagnitude && span.role < kRoleHeadA) {
      parts.linears[index(kRoleMagnitude)].has_gain = true;
    } else if (span.role >= kRoleLoraB && span.role < kRoleMagnitude) {
      AdapterParts::Pair& pair = parts.linears[index(kRoleLoraB)];
      pair.rank = static_cast<int32_t>(span.cols);
      pair.scale = span.scale;
    } else {
      continue;  // an A says nothing that its B does not
    }
    const bool plain = span.role >= kRoleLoraB && span.role < kRoleMagnitude;
    if (!plain && !backend.computes_all_adapters()) {
      return Status::Invalid(SpanName(span.role, span.layer) + ": backend=" + backend.info().name +
                             (shapes.shards > 1 ? " with several shards" : "") + " computes A and B of linears only");
    }
  }
  return parts;
}

class Stager {
 public:
  Stager(const ManifestView& manifest, SpanSource& source, const LinearShapes& shapes, const ModelWeights& base,
         Backend& backend, AdapterImage* image)
      : manifest_(manifest), source_(source), shapes_(shapes), base_(base), backend_(backend), image_(*image),
        element_(backend.geometry().element) {}

  Status Stage(const SpanEntry& span) {
    switch (span.role) {
      case kRoleHead:
        return WholeRows(span, image_.layout()->own_head());
      case kRoleHeadA:
        return WholeRows(span, image_.layout()->outer(kOuterHead).a);
      case kRoleHeadB:
        return WholeColumns(span, image_.layout()->outer(kOuterHead).b);
      case kRoleEmbedA:
        return WholeRows(span, image_.layout()->outer(kOuterEmbed).a);
      case kRoleEmbedB:
        return WholeColumns(span, image_.layout()->outer(kOuterEmbed).b);
      default:
        break;
    }
    if (span.role >= kRoleMagnitude) return Status::Ok();  // staged with its B
    return span.role < kRoleLoraB ? LinearA(span, span.role - kRoleLoraA) : LinearB(span, span.role - kRoleLoraB);
  }

 private:
  Status WholeRows(const SpanEntry& span, const TiledRows& rows) {
    CHORALE_RETURN_IF_ERROR(Read(source_, span, 0, span.rows, element_, &values_));
    Place(rows, kOuterLayer, element_, &image_, [&](int32_t j, int32_t i) { return values_[j * span.cols + i]; });
    return Status::Ok();
  }

  Status WholeColumns(const SpanEntry& span, const TiledRows& rows) {
    CHORALE_RETURN_IF_ERROR(Read(source_, span, 0, span.rows, element_, &values_));
    Place(rows, kOuterLayer, element_, &image_, [&](int32_t j, int32_t i) { return values_[i * span.cols + j]; });
    return Status::Ok();
  }

  Status LinearA(const SpanEntry& span, int32_t target) {
    const LoraMatrices& place = image_.layout()->at(span.layer, target);
    CHORALE_RETURN_IF_ERROR(Read(source_, span, place.rank_begin, place.a.rank, element_, &values_));
    const float* first = values_.data() + shapes_.in_begin[target];
    Place(place.a, span.layer, element_, &image_, [&](int32_t j, int32_t i) { return first[j * span.cols + i]; });
    return Status::Ok();
  }

  Status LinearB(const SpanEntry& span, int32_t target) {
    const LoraMatrices& place = image_.layout()->at(span.layer, target);
    CHORALE_RETURN_IF_ERROR(Read(source_, span, shapes_.out_begin[target], place.b.columns, element_, &values_));
    if (place.has_gain()) {
      CHORALE_RETURN_IF_ERROR(Gains(span, target));
      for (int64_t i = 0; i < place.b.columns; ++i) {
        for (int64_t j = 0; j < span.cols; ++j) {
          values_[i * span.cols + j] = static_cast<float>(values_[i * span.cols + j] * gains_[i]);
        }
      }
      Place(place.gain, span.layer, element_, &image_, [&](int32_t, int32_t i) { return static_cast<float>(gains_[i]); });
    }
    Place(place.b, span.layer, element_, &image_, [&](int32_t j, int32_t i) { return values_[i * span.cols + j]; });
    return Status::Ok();
  }

  // m / |W + s B A| of each output; values_ has B.
  Status Gains(const SpanEntry& b, int32_t target) {
    const SpanEntry* magnitude = manifest_.Find(kRoleMagnitude + target, b.layer);
    const SpanEntry* a = manifest_.Find(kRoleLoraA + target, b.layer);
    std::vector<float> magnitudes, inputs;
    CHORALE_RETURN_IF_ERROR(Read(source_, *magnitude, 0, 1, element_, &magnitudes));
    CHORALE_RETURN_IF_ERROR(Read(source_, *a, 0, a->rows, element_, &inputs));
    const auto [site, row_begin] = PlaceOf(base_.spec, static_cast<Target>(target));
    const Weight& weight = *base_.layers[b.layer].linear[site];
    const int64_t rank = b.cols, cols = a->cols;
    std::vector<float> row(static_cast<size_t>(cols));
    std::vector<double> sums(row.size());
    gains_.resize(static_cast<size_t>(b.rows));
    for (int64_t n = 0; n < b.rows; ++n) {
      backend_.ReadWeightRow(weight, row_begin + n, row.data());
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t j = 0; j < rank; ++j) {
        const double factor = static_cast<double>(b.scale) * values_[n * rank + j];
        const float* of_rank = inputs.data() + j * cols;
        for (int64_t k = 0; k < cols; ++k) sums[k] += factor * of_rank[k];
      }
      double squares = 0;
      for (int64_t k = 0; k < cols; ++k) squares += (row[k] + sums[k]) * (row[k] + sums[k]);
      gains_[n] = magnitudes[n] / std::sqrt(squares);
      if (!(std::abs(gains_[n]) <= LargestFinite(element_))) {
        return Status::Invalid(Format("%s: element %lld is %g, for a row of weights whose norm is %g",
                                      SpanName(magnitude->role, b.layer).c_str(), static_cast<long long>(n),
                                      static_cast<double>(magnitudes[n]), std::sqrt(squares)));
      }
    }
    return Status::Ok();
  }

  const ManifestView& manifest_;
  SpanSource& source_;
  const LinearShapes& shapes_;
  const ModelWeights& base_;
  Backend& backend_;
  AdapterImage& image_;
  const int32_t element_;
  std::vector<float> values_;
  std::vector<double> gains_;
};

}  // namespace

Result<AdapterImage> StageAdapter(const ManifestView& manifest, SpanSource& source, const LinearShapes& shapes,
                                  const ModelWeights& base, Backend& backend) {
  const PageGeometry& geometry = backend.geometry();
  const Result<AdapterParts> parts = PartsOf(manifest, shapes, backend);
  if (!parts.ok()) return parts.status();
  AdapterLayout layout(shapes, geometry, parts.value());
  Result<StagingMemory> memory = backend.AllocateStaging(layout.page_count() * geometry.page_bytes);
  if (!memory.ok()) return memory.status();
  AdapterImage image(std::move(layout), geometry, std::move(memory).value());
  Stager stager(manifest, source, shapes, base, backend, &image);
  for (const SpanEntry& span : manifest.spans()) CHORALE_RETURN_IF_ERROR(stager.Stage(span));
  return image;
}

}  // namespace chorale
