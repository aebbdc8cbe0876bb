#include <cstddef>
#include <set>

#include "base/crc32c.h"
#include "model/image_view.h"

namespace chorale {
namespace {

long long Wide(int64_t value) { return value; }

}  // namespace

Result<PackView> PackView::Open(const std::string& path) {
  Result<MappedFile> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  PackView view;
  view.file_ = std::move(file).value();
  Status status = view.Read(view.file_.bytes());
  if (!status.ok()) return Status::Invalid(path + ": " + status.message());
  return view;
}

Result<PackView> PackView::Parse(std::span<const uint8_t> bytes) {
  PackView view;
  CHORALE_RETURN_IF_ERROR(view.Read(bytes));
  return view;
}

Status PackView::Read(std::span<const uint8_t> bytes) {
  bytes_ = bytes;
  auto size = static_cast<int64_t>(bytes.size());
  if (bytes.size() < sizeof(PackHeader)) {
    return Status::Invalid(Format("image: %zu bytes are less than the header's %zu", bytes.size(), sizeof(PackHeader)));
  }
  if (reinterpret_cast<uintptr_t>(bytes.data()) % 8 != 0) {
    return Status::Invalid("image: its address is not a multiple of 8");
  }
  const auto& header = *reinterpret_cast<const PackHeader*>(bytes.data());
  if (header.magic != kPackMagic) {
    return Status::Invalid(Format("image: magic is %#x, not %#x", header.magic, kPackMagic));
  }
  if (header.version != kManifestVersion) {
    return Status::Invalid(Format("image: version is %d, not %d", header.version, kManifestVersion));
  }
  if (header.file_bytes != size) {
    return Status::Invalid(Format("image: file_bytes is %lld, but it has %lld", Wide(header.file_bytes), Wide(size)));
  }
  auto entries_begin = static_cast<int64_t>(sizeof(PackHeader));
  if (header.count < 1 || header.count > (size - entries_begin) / static_cast<int64_t>(sizeof(PackEntry))) {
    return Status::Invalid(Format("image: %d entries do not lie inside its %lld bytes", header.count, Wide(size)));
  }
  int64_t entries_end = entries_begin + header.count * static_cast<int64_t>(sizeof(PackEntry));
  if (header.text_offset != entries_end || header.text_bytes < 0 || header.text_bytes > size - entries_end) {
    return Status::Invalid(Format("image: %lld bytes of text at offset %lld do not follow the entries at %lld",
                                  Wide(header.text_bytes), Wide(header.text_offset), Wide(entries_end)));
  }
  uint32_t crc = Crc32cWithout(bytes.first(entries_end + header.text_bytes), offsetof(PackHeader, crc));
  if (crc != header.crc) return Status::Invalid(Format("image: checksum is %#x, its bytes give %#x", header.crc, crc));

  std::span<const PackEntry> entries{reinterpret_cast<const PackEntry*>(bytes.data() + entries_begin),
                                     static_cast<size_t>(header.count)};
  std::set<std::string_view> names;
  for (int32_t i = 0; i < header.count; ++i) {
    const PackEntry& entry = entries[i];
    if (entry.name_offset < 0 || entry.name_offset > header.text_bytes || entry.name_bytes < 1 ||
        entry.name_bytes > header.text_bytes - entry.name_offset) {
      return Status::Invalid(Format("image entry %d: its name, %lld bytes at %lld, lies outside the text's %lld", i,
                                    Wide(entry.name_bytes), Wide(entry.name_offset), Wide(header.text_bytes)));
    }
    std::string_view name{reinterpret_cast<const char*>(bytes.data() + header.text_offset + entry.name_offset),
                          static_cast<size_t>(entry.name_bytes)};
    auto refuse = [&](const std::string& what) {
      return Status::Invalid(Format("image entry %d (%.*s): %s", i, static_cast<int>(std::min<size_t>(name.size(), 200)),
                                    name.data(), what.c_str()));
    };
    if (!names.insert(name).second) return refuse("the name is there twice");
    if (entry.manifest_offset < header.text_offset + header.text_bytes || entry.manifest_offset > size ||
        entry.manifest_offset % 8 != 0 || entry.manifest_bytes < 0 ||
        entry.manifest_bytes > size - entry.manifest_offset) {
      return refuse(Format("its manifest, %lld bytes at %lld, does not lie behind the text of the %lld bytes, aligned",
                           Wide(entry.manifest_bytes), Wide(entry.manifest_offset), Wide(size)));
    }
    ManifestKind kind = i == 0 ? kModelManifest : kAdapterManifest;
    if (entry.kind != kind) return refuse(Format("kind is %d, not %d", entry.kind, kind));
    Result<ManifestView> manifest =
        ManifestView::Parse(bytes.subspan(entry.manifest_offset, entry.manifest_bytes), kind,
                            i == 0 ? nullptr : &manifests_[0].spec(), ManifestView::Home::kPack);
    if (!manifest.ok()) return refuse(manifest.status().message());
    if (manifest.value().files()[0].file_bytes != size) {
      return refuse(Format("its file has %lld bytes, the image %lld", Wide(manifest.value().files()[0].file_bytes),
                           Wide(size)));
    }
    manifests_.push_back(std::move(manifest).value());
    names_.push_back(name);
  }
  return Status::Ok();
}

Result<std::span<const uint8_t>> PackView::Map(const SpanEntry& span) const {
  auto bytes = bytes_.subspan(span.offset, span.bytes);
  if (span.crc != 0) {
    if (uint32_t crc = Crc32c(bytes); crc != span.crc) {
      return Status::Invalid(Format("image: checksum of %s is %#x, its bytes give %#x",
                                    SpanName(span.role, span.layer).c_str(), span.crc, crc));
    }
  }
  return bytes;
}

}  // namespace chorale
