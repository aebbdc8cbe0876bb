// Throws mutated packed images at their parser. What is accepted is read to its end.
#include "fuzz/mutator.h"
#include "model/image_view.h"
#include "testing/image_builder.h"

namespace chorale {
namespace {

using fuzz::Mutator;
using fuzz::Require;
using testing::ManifestBuilder;
using testing::PackBuilder;

ModelSpec SmallSpec(Mutator& mutator) {
  auto up_to = [&mutator](uint64_t most) { return static_cast<int32_t>(1 + mutator.Below(most)); };
  int32_t kv_heads = up_to(2);
  int32_t head_dim = 2 * up_to(2);
  return {up_to(2), up_to(6), up_to(6), kv_heads * up_to(2), kv_heads, head_dim, up_to(8), up_to(99), head_dim,
          static_cast<int32_t>(mutator.Below(2)), static_cast<int32_t>(mutator.Below(2)), 0, 1e-5f, 1.0f, 0.5f, 0};
}

// The manifest of an entry of an image whose table may already be a lie; empty when it lies outside.
std::span<uint8_t> ManifestOf(std::vector<uint8_t>& image, size_t entry_index) {
  size_t at = sizeof(PackHeader) + entry_index * sizeof(PackEntry);
  if (at + sizeof(PackEntry) > image.size()) return {};
  PackEntry entry;
  std::memcpy(&entry, image.data() + at, sizeof(entry));
  auto size = static_cast<int64_t>(image.size());
  if (entry.manifest_offset < 0 || entry.manifest_bytes < static_cast<int64_t>(sizeof(ManifestHeader)) ||
      entry.manifest_offset > size || entry.manifest_bytes > size - entry.manifest_offset) {
    return {};
  }
  return std::span(image).subspan(entry.manifest_offset, entry.manifest_bytes);
}

void LieInManifest(Mutator& mutator, std::vector<uint8_t>& image) {
  std::span<uint8_t> manifest = ManifestOf(image, mutator.Below(3));
  if (manifest.empty()) return;
  ManifestHeader header;
  std::memcpy(&header, manifest.data(), sizeof(header));
  size_t base = manifest.data() - image.data();
  size_t at = mutator.Below(manifest.size() / 4) * 4;
  switch (mutator.Below(3)) {
    case 0:  // the header's offsets and counts
      at = mutator.Below(sizeof(ManifestHeader) / 4) * 4;
      break;
    case 1:  // a field of a span
      if (header.spans_offset < 0 || header.spans_offset > static_cast<int64_t>(manifest.size())) return;
      if (header.span_count <= 0) return;
      at = header.spans_offset + mutator.Below(std::min(header.span_count, 64)) * sizeof(SpanEntry) +
           mutator.Below(sizeof(SpanEntry) / 4) * 4;
      break;
    default:  // anything: the spec, windows, files, text
      break;
  }
  mutator.Lie(image, base + at, mutator.OneIn(3) ? 8 : 4);
}

void Mutate(Mutator& mutator, std::vector<uint8_t>& image) {
  uint64_t rounds = mutator.Below(4);
  for (uint64_t i = 0; i < rounds; ++i) {
    switch (mutator.Below(5)) {
      case 0:
        mutator.Blind(image);
        break;
      case 1:
        mutator.Lie(image, mutator.Below((sizeof(PackHeader) + 3 * sizeof(PackEntry)) / 4) * 4, mutator.OneIn(2) ? 4 : 8);
        break;
      default:
        LieInManifest(mutator, image);
        break;
    }
  }
  // Checksums and sizes are mended as a rule, so that what lies behind them is looked at.
  if (mutator.OneIn(8)) return;
  auto size = static_cast<int64_t>(image.size());
  for (size_t entry = 0; entry < 3; ++entry) {
    std::span<uint8_t> manifest = ManifestOf(image, entry);
    if (manifest.empty()) continue;
    ManifestHeader header;
    std::memcpy(&header, manifest.data(), sizeof(header));
    int64_t room = static_cast<int64_t>(manifest.size() - sizeof(FileEntry));
    if (header.files_offset >= 0 && header.files_offset <= room) {
      std::memcpy(manifest.data() + header.files_offset + offsetof(FileEntry, file_bytes), &size, sizeof(size));
    }
    ManifestBuilder::Seal(manifest);
  }
  if (image.size() < sizeof(PackHeader)) return;
  std::memcpy(image.data() + offsetof(PackHeader, file_bytes), &size, sizeof(size));
  PackBuilder::Seal(image);
}

int64_t ReadManifest(const PackView& pack, const ManifestView& manifest) {
  int64_t sum = 0;
  for (const SpanEntry& span : manifest.spans()) {
    Require(manifest.Find(span.role, span.layer) == &span, "a span is found by its role");
    Require(span.rows * span.cols * DTypeBytes(span.dtype) == span.bytes, "bytes are the shape's");
    auto bytes = pack.Map(span);
    if (!bytes.ok()) continue;
    for (uint8_t byte : bytes.value()) sum += byte;
  }
  return sum;
}

bool ImageInput(Mutator& mutator) {
  std::vector<uint8_t> image = PackBuilder::Of(SmallSpec(mutator)).Build();
  Mutate(mutator, image);
  image.shrink_to_fit();
  auto pack = PackView::Parse(image);
  if (!pack.ok()) {
    Require(pack.status().code() == CH_INVALID_ARGUMENT && !pack.status().message().empty(), "refusals say why");
    return false;
  }
  const ModelSpec& spec = pack.value().model().spec();
  double sum = static_cast<double>(ReadManifest(pack.value(), pack.value().model()));
  for (float frequency : pack.value().model().inv_freq()) sum += static_cast<double>(frequency);
  for (int32_t window : pack.value().model().windows()) sum += window;
  for (int32_t layer = 0; layer < spec.layers; ++layer) {
    for (int32_t t = 0; t < kTargets; ++t) {
      auto target = static_cast<Target>(t);
      const SpanEntry* weight = pack.value().model().Find(RoleOf(kRoleWeight, target), layer);
      Require(weight != nullptr && weight->rows == OutWidth(spec, target), "every weight is there in its shape");
    }
  }
  for (int32_t a = 0; a < pack.value().adapters(); ++a) {
    Require(!pack.value().adapter_name(a).empty(), "adapters have names");
    sum += static_cast<double>(ReadManifest(pack.value(), pack.value().adapter(a)));
  }
  Require(sum - sum == 0, "all that was read is finite");
  return true;
}

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) { return chorale::fuzz::Run("image_fuzz", argc, argv, chorale::ImageInput); }
