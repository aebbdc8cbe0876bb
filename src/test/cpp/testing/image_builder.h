// Builds manifests and packed images for tests. Fields are public, so that a test can tell one lie at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "chorale/image_abi.h"
#include "model/image_view.h"

namespace chorale::testing {

struct ManifestBuilder {
  ManifestHeader header{kManifestMagic, kManifestVersion, 0, 0, kModelManifest, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  ModelSpec spec{};
  std::vector<float> inv_freq;
  std::vector<int32_t> windows;
  std::vector<std::pair<std::string, int64_t>> files;  // path and size
  std::vector<SpanEntry> spans;

  SpanEntry& Span(int32_t role, int32_t layer, int64_t rows, int64_t cols, int64_t offset, int32_t dtype = kF32) {
    spans.push_back({role, layer, dtype, 0, offset, rows * cols * DTypeBytes(dtype), rows, cols, 1, 0});
    return spans.back();
  }

  std::vector<uint8_t> Build() const {
    std::vector<uint8_t> buffer(sizeof(ManifestHeader));
    ManifestHeader h = header;
    if (h.kind == kModelManifest) {
      h.spec_offset = Append(buffer, &spec, sizeof(spec));
      h.inv_freq_offset = Append(buffer, inv_freq.data(), inv_freq.size() * sizeof(float));
      h.window_offset = Append(buffer, windows.data(), windows.size() * sizeof(int32_t));
    }
    std::string text;
    std::vector<FileEntry> entries;
    for (const auto& [path, bytes] : files) {
      entries.push_back({static_cast<int64_t>(text.size()), static_cast<int64_t>(path.size()), bytes});
      text += path;
    }
    h.file_count = static_cast<int32_t>(entries.size());
    h.files_offset = Append(buffer, entries.data(), entries.size() * sizeof(FileEntry));
    h.span_count = static_cast<int32_t>(spans.size());
    h.spans_offset = Append(buffer, spans.data(), spans.size() * sizeof(SpanEntry));
    h.text_bytes = static_cast<int64_t>(text.size());
    h.text_offset = Append(buffer, text.data(), text.size());
    h.total_bytes = static_cast<int64_t>(buffer.size());
    std::memcpy(buffer.data(), &h, sizeof(h));
    Seal(buffer);
    return buffer;
  }

  // Makes the checksum right again.
  static void Seal(std::span<uint8_t> manifest) {
    uint32_t crc = Crc32cWithout(manifest, offsetof(ManifestHeader, crc));
    std::memcpy(manifest.data() + offsetof(ManifestHeader, crc), &crc, sizeof(crc));
  }

 private:
  static int64_t Append(std::vector<uint8_t>& buffer, const void* data, size_t bytes) {
    auto offset = static_cast<int64_t>(buffer.size());
    buffer.resize((offset + bytes + 7) / 8 * 8);
    if (bytes > 0) std::memcpy(buffer.data() + offset, data, bytes);
    return offset;
  }
};

// All tensors that `spec` asks for, one after the other in file 0, and bias for the q, k and v of layer 0.
inline ManifestBuilder ModelManifest(const ModelSpec& spec, const std::string& path) {
  ManifestBuilder manifest;
  manifest.spec = spec;
  manifest.inv_freq.assign(spec.rotary_dims / 2, 0.5f);
  manifest.windows.assign(spec.layers, 0);
  int64_t offset = 0;
  auto add = [&](int32_t role, int32_t layer, int64_t rows, int64_t cols) {
    offset += (manifest.Span(role, layer, rows, cols, offset).bytes + kDataAlign - 1) / kDataAlign * kDataAlign;
  };
  add(kRoleEmbed, -1, spec.vocab, spec.hidden);
  if (spec.tied == 0) add(kRoleHead, -1, spec.vocab, spec.hidden);
  add(kRoleFinalNorm, -1, 1, spec.hidden);
  for (int32_t layer = 0; layer < spec.layers; ++layer) {
    add(kRoleAttnNorm, layer, 1, spec.hidden);
    add(kRoleMlpNorm, layer, 1, spec.hidden);
    if (spec.qk_norm == 1) {
      add(kRoleQNorm, layer, 1, spec.head_dim);
      add(kRoleKNorm, layer, 1, spec.head_dim);
    }
    for (int32_t t = 0; t < kTargets; ++t) {
      auto target = static_cast<Target>(t);
      add(RoleOf(kRoleWeight, target), layer, OutWidth(spec, target), InWidth(spec, target));
      if (layer == 0 && t <= kV) add(RoleOf(kRoleBias, target), layer, 1, OutWidth(spec, target));
    }
  }
  manifest.files = {{path, offset}};
  return manifest;
}

// A LoRA of this rank on q and down of every layer.
inline ManifestBuilder AdapterManifest(const ModelSpec& base, int64_t rank, const std::string& path) {
  ManifestBuilder manifest;
  manifest.header.kind = kAdapterManifest;
  int64_t offset = 0;
  auto add = [&](int32_t role, int32_t layer, int64_t rows, int64_t cols) {
    offset += (manifest.Span(role, layer, rows, cols, offset).bytes + kDataAlign - 1) / kDataAlign * kDataAlign;
  };
  for (int32_t layer = 0; layer < base.layers; ++layer) {
    for (Target target : {kQ, kDown}) {
      add(RoleOf(kRoleLoraA, target), layer, rank, InWidth(base, target));
      add(RoleOf(kRoleLoraB, target), layer, OutWidth(base, target), rank);
    }
  }
  manifest.files = {{path, offset}};
  return manifest;
}

// One entry of a packed image: its manifest, with offsets from the start of its own data.
struct PackPart {
  std::string name;
  ManifestBuilder manifest;
  std::vector<uint8_t> data;
};

struct PackBuilder {
  PackHeader header{kPackMagic, kManifestVersion, 0, 0, 0, 0, 0};
  std::vector<PackEntry> entries;
  std::string text;
  std::vector<std::vector<uint8_t>> manifests;
  std::vector<uint8_t> data;  // from data_offset on
  int64_t data_offset = 0;

  static PackBuilder Of(std::vector<PackPart> parts) {
    PackBuilder pack;
    auto at = static_cast<int64_t>(sizeof(PackHeader) + parts.size() * sizeof(PackEntry));
    for (PackPart& part : parts) {
      pack.entries.push_back({part.manifest.header.kind, 0, static_cast<int64_t>(pack.text.size()),
                              static_cast<int64_t>(part.name.size()), 0, 0});
      pack.text += part.name;
      part.manifest.files = {{"", 0}};
    }
    at += static_cast<int64_t>(pack.text.size());
    for (size_t i = 0; i < parts.size(); ++i) {
      at = (at + 7) / 8 * 8;
      pack.entries[i].manifest_offset = at;
      at += pack.entries[i].manifest_bytes = static_cast<int64_t>(parts[i].manifest.Build().size());
    }
    pack.data_offset = at = (at + kDataAlign - 1) / kDataAlign * kDataAlign;
    for (PackPart& part : parts) {
      for (SpanEntry& span : part.manifest.spans) {
        span.crc = Crc32c(std::span<const uint8_t>(part.data).subspan(span.offset, span.bytes));
        span.offset += at;
      }
      part.data.resize((part.data.size() + kDataAlign - 1) / kDataAlign * kDataAlign);
      pack.data.insert(pack.data.end(), part.data.begin(), part.data.end());
      at += static_cast<int64_t>(part.data.size());
    }
    for (PackPart& part : parts) {
      part.manifest.files = {{"", at}};
      pack.manifests.push_back(part.manifest.Build());
    }
    return pack;
  }

  // One model and two adapters, whose data are bytes 0, 1, 2, ...
  static PackBuilder Of(const ModelSpec& spec) {
    std::vector<PackPart> parts = {{"base", ModelManifest(spec, ""), {}},
                                   {"small", AdapterManifest(spec, 2, ""), {}},
                                   {"large", AdapterManifest(spec, 5, ""), {}}};
    for (PackPart& part : parts) {
      part.data.resize(part.manifest.files[0].second);
      for (size_t i = 0; i < part.data.size(); ++i) part.data[i] = static_cast<uint8_t>(i);
    }
    return Of(std::move(parts));
  }

  std::vector<uint8_t> Build() const {
    std::vector<uint8_t> image(data_offset + data.size());
    PackHeader h = header;
    h.file_bytes = static_cast<int64_t>(image.size());
    h.count = static_cast<int32_t>(entries.size());
    h.text_offset = static_cast<int64_t>(sizeof(PackHeader) + entries.size() * sizeof(PackEntry));
    h.text_bytes = static_cast<int64_t>(text.size());
    std::memcpy(image.data(), &h, sizeof(h));
    std::memcpy(image.data() + sizeof(h), entries.data(), entries.size() * sizeof(PackEntry));
    std::memcpy(image.data() + h.text_offset, text.data(), text.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      std::memcpy(image.data() + entries[i].manifest_offset, manifests[i].data(), manifests[i].size());
    }
    std::memcpy(image.data() + data_offset, data.data(), data.size());
    Seal(image);
    return image;
  }

  // Makes the checksum of header, entries and text right again, as far as they lie inside.
  static void Seal(std::span<uint8_t> image) {
    PackHeader h;
    std::memcpy(&h, image.data(), sizeof(h));
    auto size = static_cast<int64_t>(image.size());
    if (h.text_offset < 0 || h.text_offset > size || h.text_bytes < 0 || h.text_bytes > size - h.text_offset) return;
    int64_t covered = h.text_offset + h.text_bytes;
    if (covered < static_cast<int64_t>(sizeof(h))) return;
    uint32_t crc = Crc32cWithout(image.first(covered), offsetof(PackHeader, crc));
    std::memcpy(image.data() + offsetof(PackHeader, crc), &crc, sizeof(crc));
  }
};

// A small model of odd shapes.
inline ModelSpec OddSpec() {
  return {2, 12, 20, 6, 3, 4, 11, 64, 4, 0, 1, 0, 1e-5f, 1.0f, 0.5f, 0};
}

}  // namespace chorale::testing
