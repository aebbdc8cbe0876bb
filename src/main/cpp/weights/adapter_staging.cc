#include "weights/adapter_staging.h"

#include <array>
#include <utility>
#include <vector>

#include "base/convert.h"
#include "lora/adapter_tensor.h"

namespace chorale {
namespace {

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

// What the manifest has.
AdapterParts PartsOf(const ManifestView& manifest, const LinearShapes& shapes) {
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
    }  // an A says nothing that its B does not
  }
  return parts;
}

StagingMemory Counted(StagingMemory memory, int64_t bytes, std::shared_ptr<StagedBytes> staged) {
  *staged += bytes;
  auto give_back = memory.get_deleter();
  return StagingMemory(memory.release(), [=](uint8_t* data) {
    give_back(data);
    *staged -= bytes;
  });
}

class Stager {
 public:
  Stager(SpanSource& source, const LinearShapes& shapes, const AdapterGains& gains, int32_t element, AdapterImage* image)
      : source_(source), shapes_(shapes), gains_(gains), image_(*image), element_(element) {}

  Status Stage(const SpanEntry& span) {
    const AdapterLayout& layout = *image_.layout();
    switch (span.role) {
      case kRoleHead:
        return Rows(span, shapes_.head_begin, layout.own_head());
      case kRoleHeadA:
        return Rows(span, 0, layout.outer(kOuterHead).a);
      case kRoleHeadB:
        return Columns(span, shapes_.head_begin, layout.outer(kOuterHead).b);
      case kRoleEmbedA:
        return Rows(span, 0, layout.outer(kOuterEmbed).a);
      case kRoleEmbedB:
        return Columns(span, 0, layout.outer(kOuterEmbed).b);
      default:
        break;
    }
    if (span.role >= kRoleMagnitude) return Status::Ok();  // staged with its B
    return span.role < kRoleLoraB ? LinearA(span, span.role - kRoleLoraA) : LinearB(span, span.role - kRoleLoraB);
  }

 private:
  // The tensor's rows from `begin` on, each a rank row.
  Status Rows(const SpanEntry& span, int64_t begin, const TiledRows& place) {
    CHORALE_RETURN_IF_ERROR(ReadTensor(source_, span, begin, place.rank, element_, &values_));
    Place(place, kOuterLayer, element_, &image_, [&](int32_t j, int32_t i) { return values_[j * span.cols + i]; });
    return Status::Ok();
  }

  // The same, each a column.
  Status Columns(const SpanEntry& span, int64_t begin, const TiledRows& place) {
    CHORALE_RETURN_IF_ERROR(ReadTensor(source_, span, begin, place.columns, element_, &values_));
    Place(place, kOuterLayer, element_, &image_, [&](int32_t j, int32_t i) { return values_[i * span.cols + j]; });
    return Status::Ok();
  }

  Status LinearA(const SpanEntry& span, int32_t target) {
    const LoraMatrices& place = image_.layout()->at(span.layer, target);
    CHORALE_RETURN_IF_ERROR(ReadTensor(source_, span, place.rank_begin, place.a.rank, element_, &values_));
    const float* first = values_.data() + shapes_.in_begin[target];
    Place(place.a, span.layer, element_, &image_, [&](int32_t j, int32_t i) { return first[j * span.cols + i]; });
    return Status::Ok();
  }

  Status LinearB(const SpanEntry& span, int32_t target) {
    const LoraMatrices& place = image_.layout()->at(span.layer, target);
    CHORALE_RETURN_IF_ERROR(ReadTensor(source_, span, shapes_.out_begin[target], place.b.columns, element_, &values_));
    if (place.has_gain()) {
      const std::span<const double> gains = gains_.at(span.layer, target);
      const double* of_b = gains.data() + shapes_.out_begin[target];
      const double* of_base = gains.data() + shapes_.base_begin[target];
      for (int64_t i = 0; i < place.b.columns; ++i) {
        for (int64_t j = 0; j < span.cols; ++j) {
          values_[i * span.cols + j] = static_cast<float>(values_[i * span.cols + j] * of_b[i]);
        }
      }
      Place(place.gain, span.layer, element_, &image_, [&](int32_t, int32_t i) { return static_cast<float>(of_base[i]); });
    }
    Place(place.b, span.layer, element_, &image_, [&](int32_t j, int32_t i) { return values_[i * span.cols + j]; });
    return Status::Ok();
  }

  SpanSource& source_;
  const LinearShapes& shapes_;
  const AdapterGains& gains_;
  AdapterImage& image_;
  const int32_t element_;
  std::vector<float> values_;
};

}  // namespace

Result<AdapterImage> StageAdapter(const ManifestView& manifest, SpanSource& source, const LinearShapes& shapes,
                                  const AdapterGains& gains, Backend& backend,
                                  std::shared_ptr<StagedBytes> staged) {
  const PageGeometry& geometry = backend.geometry();
  AdapterLayout layout(shapes, geometry, PartsOf(manifest, shapes));
  const int64_t bytes = layout.page_count() * geometry.page_bytes;
  Result<StagingMemory> memory = backend.AllocateStaging(bytes);
  if (!memory.ok()) return memory.status();
  AdapterImage image(std::move(layout), geometry, Counted(std::move(memory).value(), bytes, std::move(staged)));
  Stager stager(source, shapes, gains, geometry.element, &image);
  for (const SpanEntry& span : manifest.spans()) CHORALE_RETURN_IF_ERROR(stager.Stage(span));
  return image;
}

}  // namespace chorale
