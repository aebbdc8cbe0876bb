#include "model/image_view.h"

#include <cmath>
#include <cstddef>
#include <limits>

#include "base/crc32c.h"

namespace chorale {
namespace {

constexpr int32_t kRoles = kRoleEmbedB + 1;
constexpr const char* kTargetNames[kTargets] = {"q", "k", "v", "o", "gate", "up", "down"};

// No model that this engine can run comes near these; they keep every product of shapes inside int64.
constexpr int32_t kWidthMax = 1 << 20;
constexpr int32_t kLayersMax = 1 << 12;
constexpr int32_t kVocabMax = 1 << 24;
constexpr int32_t kRankMax = 1 << 12;

long long Wide(int64_t value) { return value; }

// The target of a role that begins at `base`, or -1.
int32_t TargetOf(int32_t role, int32_t base) { return role >= base && role < base + kTargets ? role - base : -1; }

bool IsA(int32_t role) { return TargetOf(role, kRoleLoraA) >= 0 || role == kRoleHeadA || role == kRoleEmbedA; }

bool IsB(int32_t role) { return TargetOf(role, kRoleLoraB) >= 0 || role == kRoleHeadB || role == kRoleEmbedB; }

// Of an A its B and the other way round; of magnitudes B.
int32_t PairOf(int32_t role) {
  if (TargetOf(role, kRoleMagnitude) >= 0) return role - (kRoleMagnitude - kRoleLoraB);
  if (role >= kRoleHeadA) return role ^ 1;
  return IsA(role) ? role + (kRoleLoraB - kRoleLoraA) : role - (kRoleLoraB - kRoleLoraA);
}

bool IsAdapterRole(int32_t role) {
  return IsA(role) || IsB(role) || TargetOf(role, kRoleMagnitude) >= 0 || role == kRoleHead;
}

bool IsModelRole(int32_t role) {
  return (role >= kRoleEmbed && role <= kRoleKNorm) || TargetOf(role, kRoleWeight) >= 0 ||
         TargetOf(role, kRoleBias) >= 0;
}

bool IsOfLayer(int32_t role) { return role >= kRoleAttnNorm && role < kRoleHeadA; }

struct Shape {
  int64_t rows, cols;
};

// The shape that a tensor must have; of an A or a B, whose rank is its own.
Shape ShapeOf(int32_t role, const ModelSpec& spec, int64_t rank) {
  if (int32_t t = TargetOf(role, kRoleLoraA); t >= 0) return {rank, InWidth(spec, static_cast<Target>(t))};
  if (int32_t t = TargetOf(role, kRoleLoraB); t >= 0) return {OutWidth(spec, static_cast<Target>(t)), rank};
  if (int32_t t = TargetOf(role, kRoleMagnitude); t >= 0) return {1, OutWidth(spec, static_cast<Target>(t))};
  if (int32_t t = TargetOf(role, kRoleWeight); t >= 0) {
    return {OutWidth(spec, static_cast<Target>(t)), InWidth(spec, static_cast<Target>(t))};
  }
  if (int32_t t = TargetOf(role, kRoleBias); t >= 0) return {1, OutWidth(spec, static_cast<Target>(t))};
  switch (role) {
    case kRoleEmbed:
    case kRoleHead:
      return {spec.vocab, spec.hidden};
    case kRoleHeadA:
      return {rank, spec.hidden};
    case kRoleHeadB:
      return {spec.vocab, rank};
    case kRoleEmbedA:
      return {rank, spec.vocab};
    case kRoleEmbedB:
      return {spec.hidden, rank};
    case kRoleQNorm:
    case kRoleKNorm:
      return {1, spec.head_dim};
    default:
      return {1, spec.hidden};
  }
}

// Whether `count` elements from `offset` lie inside `total` bytes, behind `least`, aligned to 8.
bool Inside(int64_t offset, int64_t count, int64_t element_bytes, int64_t least, int64_t total) {
  return offset >= least && offset <= total && offset % 8 == 0 && count >= 0 &&
         count <= (total - offset) / element_bytes;
}

}  // namespace

int64_t DTypeBytes(int32_t dtype) { return dtype == kF32 ? 4 : 2; }

bool IsNorm(int32_t role) { return role >= kRoleFinalNorm && role <= kRoleKNorm; }

bool IsBias(int32_t role) { return TargetOf(role, kRoleBias) >= 0; }

int64_t InWidth(const ModelSpec& spec, Target target) {
  if (target == kO) return int64_t{spec.heads} * spec.head_dim;
  return target == kDown ? spec.intermediate : spec.hidden;
}

int64_t OutWidth(const ModelSpec& spec, Target target) {
  switch (target) {
    case kQ:
      return int64_t{spec.heads} * spec.head_dim;
    case kK:
    case kV:
      return int64_t{spec.kv_heads} * spec.head_dim;
    case kGate:
    case kUp:
      return spec.intermediate;
    default:
      return spec.hidden;
  }
}

std::string SpanName(int32_t role, int32_t layer) {
  static constexpr const char* kPlain[] = {"embedding", "LM head", "final norm", "attention norm",
                                           "MLP norm",  "q norm",  "k norm"};
  std::string name = layer >= 0 ? Format("layer %d ", layer) : "";
  if (role >= 0 && role <= kRoleKNorm) return name + kPlain[role];
  if (int32_t t = TargetOf(role, kRoleWeight); t >= 0) return name + "weight of " + kTargetNames[t];
  if (int32_t t = TargetOf(role, kRoleBias); t >= 0) return name + "bias of " + kTargetNames[t];
  if (int32_t t = TargetOf(role, kRoleLoraA); t >= 0) return name + "LoRA A of " + kTargetNames[t];
  if (int32_t t = TargetOf(role, kRoleLoraB); t >= 0) return name + "LoRA B of " + kTargetNames[t];
  if (int32_t t = TargetOf(role, kRoleMagnitude); t >= 0) return name + "magnitudes of " + kTargetNames[t];
  static constexpr const char* kOuter[] = {"LoRA A of the LM head", "LoRA B of the LM head", "LoRA A of the embedding",
                                           "LoRA B of the embedding"};
  if (role >= kRoleHeadA && role < kRoles) return name + kOuter[role - kRoleHeadA];
  return name + Format("role %d", role);
}

Result<ManifestView> ManifestView::ParseModel(std::span<const uint8_t> buffer) {
  return Parse(buffer, kModelManifest, nullptr, Home::kFiles);
}

Result<ManifestView> ManifestView::ParseAdapter(std::span<const uint8_t> buffer, const ModelSpec& base) {
  return Parse(buffer, kAdapterManifest, &base, Home::kFiles);
}

Result<ManifestView> ManifestView::Parse(std::span<const uint8_t> buffer, ManifestKind kind, const ModelSpec* base,
                                         Home home) {
  ManifestView view(buffer);
  CHORALE_RETURN_IF_ERROR(view.CheckHeader(kind));
  if (kind == kModelManifest) CHORALE_RETURN_IF_ERROR(view.CheckSpec());
  CHORALE_RETURN_IF_ERROR(view.CheckFiles(home));
  CHORALE_RETURN_IF_ERROR(view.CheckSpans(base != nullptr ? *base : view.spec(), home));
  CHORALE_RETURN_IF_ERROR(kind == kModelManifest ? view.CheckComplete() : view.CheckPairs());
  return view;
}

Status ManifestView::CheckHeader(ManifestKind kind) const {
  if (buffer_.size() < sizeof(ManifestHeader)) {
    return Status::Invalid(
        Format("manifest: %zu bytes are less than the header's %zu", buffer_.size(), sizeof(ManifestHeader)));
  }
  if (reinterpret_cast<uintptr_t>(buffer_.data()) % 8 != 0) {
    return Status::Invalid("manifest: the buffer's address is not a multiple of 8");
  }
  const ManifestHeader& h = header();
  auto size = static_cast<int64_t>(buffer_.size());
  if (h.magic != kManifestMagic) {
    return Status::Invalid(Format("manifest: magic is %#x, not %#x", h.magic, kManifestMagic));
  }
  if (h.version != kManifestVersion) {
    return Status::Invalid(Format("manifest: version is %d, not %d", h.version, kManifestVersion));
  }
  if (h.total_bytes != size) {
    return Status::Invalid(
        Format("manifest: total_bytes is %lld, but the buffer has %lld", Wide(h.total_bytes), Wide(size)));
  }
  uint32_t crc = Crc32cWithout(buffer_, offsetof(ManifestHeader, crc));
  if (crc != h.crc) return Status::Invalid(Format("manifest: checksum is %#x, its bytes give %#x", h.crc, crc));
  if (h.kind != kind) {
    return Status::Invalid(Format("manifest: kind is %d, not %d (%s)", h.kind, kind,
                                  kind == kModelManifest ? "a model" : "an adapter"));
  }
  constexpr auto least = static_cast<int64_t>(sizeof(ManifestHeader));
  if (!Inside(h.files_offset, h.file_count, sizeof(FileEntry), least, size)) {
    return Status::Invalid(Format("manifest: %d files at offset %lld do not lie inside its %lld bytes", h.file_count,
                                  Wide(h.files_offset), Wide(size)));
  }
  if (!Inside(h.spans_offset, h.span_count, sizeof(SpanEntry), least, size)) {
    return Status::Invalid(Format("manifest: %d spans at offset %lld do not lie inside its %lld bytes", h.span_count,
                                  Wide(h.spans_offset), Wide(size)));
  }
  if (!Inside(h.text_offset, h.text_bytes, 1, least, size)) {
    return Status::Invalid(Format("manifest: %lld bytes of text at offset %lld do not lie inside its %lld bytes",
                                  Wide(h.text_bytes), Wide(h.text_offset), Wide(size)));
  }
  return Status::Ok();
}

Status ManifestView::CheckSpec() const {
  constexpr auto least = static_cast<int64_t>(sizeof(ManifestHeader));
  const ManifestHeader& h = header();
  if (!Inside(h.spec_offset, 1, sizeof(ModelSpec), least, h.total_bytes)) {
    return Status::Invalid(Format("manifest: the model's spec at offset %lld does not lie inside its %lld bytes",
                                  Wide(h.spec_offset), Wide(h.total_bytes)));
  }
  const ModelSpec& s = spec();
  struct Field {
    const char* name;
    int32_t value, low, high;
  };
  const Field fields[] = {
      {"layers", s.layers, 1, kLayersMax},
      {"hidden", s.hidden, 1, kWidthMax},
      {"intermediate", s.intermediate, 1, kWidthMax},
      {"heads", s.heads, 1, kWidthMax},
      {"kv_heads", s.kv_heads, 1, kWidthMax},
      {"head_dim", s.head_dim, 1, kWidthMax},
      {"vocab", s.vocab, 1, kVocabMax},
      {"context_max", s.context_max, 1, std::numeric_limits<int32_t>::max() - 1},
      {"rotary_dims", s.rotary_dims, 0, s.head_dim},
      {"tied", s.tied, 0, 1},
      {"qk_norm", s.qk_norm, 0, 1},
      {"reserved", s.reserved, 0, 0},
  };
  for (const Field& f : fields) {
    if (f.value < f.low || f.value > f.high) {
      return Status::Invalid(Format("model spec: %s is %d, outside [%d, %d]", f.name, f.value, f.low, f.high));
    }
  }
  if (int64_t{s.heads} * s.head_dim > kWidthMax) {
    return Status::Invalid(Format("model spec: %d heads of %d dims are wider than %d", s.heads, s.head_dim, kWidthMax));
  }
  if (s.heads % s.kv_heads != 0) {
    return Status::Invalid(Format("model spec: heads %d is not a multiple of kv_heads %d", s.heads, s.kv_heads));
  }
  if (s.rotary_dims % 2 != 0) return Status::Invalid(Format("model spec: rotary_dims %d is odd", s.rotary_dims));
  struct Factor {
    const char* name;
    float value;
  };
  for (const Factor& f : {Factor{"rms_eps", s.rms_eps}, Factor{"rope_magnitude", s.rope_magnitude},
                          Factor{"attention_scale", s.attention_scale}}) {
    if (!std::isfinite(f.value) || f.value < 0) {
      return Status::Invalid(
          Format("model spec: %s is %g, not a finite number from 0", f.name, static_cast<double>(f.value)));
    }
  }
  if (!Inside(h.inv_freq_offset, s.rotary_dims / 2, 4, least, h.total_bytes)) {
    return Status::Invalid(Format("manifest: %d inverse frequencies at offset %lld do not lie inside its %lld bytes",
                                  s.rotary_dims / 2, Wide(h.inv_freq_offset), Wide(h.total_bytes)));
  }
  if (!Inside(h.window_offset, s.layers, 4, least, h.total_bytes)) {
    return Status::Invalid(Format("manifest: %d attention windows at offset %lld do not lie inside its %lld bytes",
                                  s.layers, Wide(h.window_offset), Wide(h.total_bytes)));
  }
  for (int32_t i = 0; i < s.rotary_dims / 2; ++i) {
    if (!std::isfinite(inv_freq()[i])) return Status::Invalid(Format("manifest: inverse frequency %d is not finite", i));
  }
  for (int32_t i = 0; i < s.layers; ++i) {
    if (windows()[i] < 0) return Status::Invalid(Format("manifest: window of layer %d is %d", i, windows()[i]));
  }
  return Status::Ok();
}

Status ManifestView::CheckFiles(Home home) const {
  const ManifestHeader& h = header();
  if (home == Home::kPack && h.file_count != 1) {
    return Status::Invalid(Format("manifest: %d files in a packed image, not 1", h.file_count));
  }
  for (int32_t i = 0; i < h.file_count; ++i) {
    const FileEntry& file = files()[i];
    if (file.path_offset < 0 || file.path_offset > h.text_bytes || file.path_bytes < 0 ||
        file.path_bytes > h.text_bytes - file.path_offset) {
      return Status::Invalid(Format("manifest: path of file %d, %lld bytes at %lld, lies outside the text's %lld", i,
                                    Wide(file.path_bytes), Wide(file.path_offset), Wide(h.text_bytes)));
    }
    if (file.file_bytes < 0) return Status::Invalid(Format("manifest: file %d has %lld bytes", i, Wide(file.file_bytes)));
    if (home == Home::kPack ? !Path(i).empty() : Path(i).empty()) {
      return Status::Invalid(Format("manifest: path of file %d is%s empty", i, home == Home::kPack ? " not" : ""));
    }
    if (Path(i).find('\0') != std::string_view::npos) {
      return Status::Invalid(Format("manifest: path of file %d has a zero byte", i));
    }
  }
  return Status::Ok();
}

Status ManifestView::CheckSpans(const ModelSpec& base, Home home) {
  bool is_model = header().kind == kModelManifest;
  layers_ = base.layers;
  index_.assign(int64_t{base.layers + 1} * kRoles, -1);
  for (int32_t i = 0; i < header().span_count; ++i) {
    const SpanEntry& span = spans()[i];
    std::string name = Format("manifest span %d (%s)", i, SpanName(span.role, span.layer).c_str());
    auto refuse = [&name](const std::string& what) { return Status::Invalid(name + ": " + what); };
    if (is_model ? !IsModelRole(span.role) : !IsAdapterRole(span.role)) {
      return refuse(is_model ? "the role is not one of a model" : "the role is not one of an adapter");
    }
    if (IsOfLayer(span.role) ? span.layer < 0 || span.layer >= base.layers : span.layer != -1) {
      return refuse(Format("layer is %d, the model has %d layers", span.layer, base.layers));
    }
    if (span.dtype < kF32 || span.dtype > kBF16) return refuse(Format("dtype is %d", span.dtype));
    const bool stored = span.file != kNoFile || home == Home::kPack;  // an image is complete: all of it is stored
    if (stored && (span.file < 0 || span.file >= header().file_count)) {
      return refuse(Format("file is %d of %d", span.file, header().file_count));
    }
    if (!stored && span.crc != 0) return refuse("has a checksum, but no file");
    const int64_t rank = IsA(span.role) ? span.rows : span.cols;
    const Shape want = ShapeOf(span.role, base, rank);
    if (span.rows != want.rows || span.cols != want.cols) {
      return refuse(Format("shape is [%lld, %lld], the model needs [%lld, %lld]", Wide(span.rows), Wide(span.cols),
                           Wide(want.rows), Wide(want.cols)));
    }
    if ((IsA(span.role) || IsB(span.role)) && (rank < 1 || rank > kRankMax)) {
      return refuse(Format("rank is %lld, outside [1, %d]", Wide(rank), kRankMax));
    }
    if (!std::isfinite(span.scale)) return refuse("scale is not finite");
    int64_t bytes = span.rows * span.cols * DTypeBytes(span.dtype);
    if (span.bytes != bytes) return refuse(Format("has %lld bytes, its shape needs %lld", Wide(span.bytes), Wide(bytes)));
    const int64_t file_bytes = stored ? files()[span.file].file_bytes : 0;
    if (stored && (span.offset < 0 || span.offset > file_bytes || bytes > file_bytes - span.offset)) {
      return refuse(Format("%lld bytes at offset %lld do not lie inside the file's %lld", Wide(bytes),
                           Wide(span.offset), Wide(file_bytes)));
    }
    if (home == Home::kPack && span.offset % kDataAlign != 0) {
      return refuse(Format("offset %lld is not a multiple of %d", Wide(span.offset), kDataAlign));
    }
    int32_t& place = index_[int64_t{span.layer + 1} * kRoles + span.role];
    if (place >= 0) return refuse(Format("is there twice, as span %d too", place));
    place = i;
  }
  return Status::Ok();
}

Status ManifestView::CheckComplete() const {
  const ModelSpec& s = spec();
  auto missing = [](int32_t role, int32_t layer) {
    return Status::Invalid("manifest: " + SpanName(role, layer) + " is missing");
  };
  auto surplus = [](int32_t role, int32_t layer, const char* why) {
    return Status::Invalid("manifest: " + SpanName(role, layer) + " is there, but " + why);
  };
  if (Find(kRoleEmbed) == nullptr) return missing(kRoleEmbed, -1);
  if (Find(kRoleFinalNorm) == nullptr) return missing(kRoleFinalNorm, -1);
  bool has_head = Find(kRoleHead) != nullptr;
  if (s.tied == 0 && !has_head) return missing(kRoleHead, -1);
  if (s.tied == 1 && has_head) return surplus(kRoleHead, -1, "the spec ties it to the embedding");
  for (int32_t layer = 0; layer < s.layers; ++layer) {
    for (int32_t role : {kRoleAttnNorm, kRoleMlpNorm}) {
      if (Find(role, layer) == nullptr) return missing(role, layer);
    }
    for (int32_t role : {kRoleQNorm, kRoleKNorm}) {
      bool has_norm = Find(role, layer) != nullptr;
      if (s.qk_norm == 1 && !has_norm) return missing(role, layer);
      if (s.qk_norm == 0 && has_norm) return surplus(role, layer, "the spec has no q and k norms");
    }
    for (int32_t t = 0; t < kTargets; ++t) {
      if (Find(kRoleWeight + t, layer) == nullptr) return missing(kRoleWeight + t, layer);
    }
  }
  return Status::Ok();
}

Status ManifestView::CheckPairs() const {
  if (header().span_count == 0) return Status::Invalid("manifest: the adapter has no tensors");
  for (const SpanEntry& span : spans()) {
    if (span.role == kRoleHead) continue;
    const bool is_a = IsA(span.role);
    const int32_t other_role = PairOf(span.role);
    const SpanEntry* other = Find(other_role, span.layer);
    if (other == nullptr) {
      return Status::Invalid("manifest: " + SpanName(span.role, span.layer) + " is there, but " +
                             SpanName(other_role, span.layer) + " is missing");
    }
    if (is_a && span.rows != other->cols) {
      return Status::Invalid(Format("manifest: %s has rank %lld, but B has %lld",
                                    SpanName(span.role, span.layer).c_str(), Wide(span.rows), Wide(other->cols)));
    }
  }
  return Status::Ok();
}

std::span<const float> ManifestView::inv_freq() const {
  return {At<float>(header().inv_freq_offset), static_cast<size_t>(spec().rotary_dims / 2)};
}

std::span<const int32_t> ManifestView::windows() const {
  return {At<int32_t>(header().window_offset), static_cast<size_t>(spec().layers)};
}

std::span<const FileEntry> ManifestView::files() const {
  return {At<FileEntry>(header().files_offset), static_cast<size_t>(header().file_count)};
}

std::span<const SpanEntry> ManifestView::spans() const {
  return {At<SpanEntry>(header().spans_offset), static_cast<size_t>(header().span_count)};
}

std::string_view ManifestView::Path(int32_t file) const {
  const FileEntry& entry = files()[file];
  return {At<char>(header().text_offset + entry.path_offset), static_cast<size_t>(entry.path_bytes)};
}

const SpanEntry* ManifestView::Find(int32_t role, int32_t layer) const {
  if (role < 0 || role >= kRoles || layer < -1 || layer >= layers_) return nullptr;
  int32_t at = index_[int64_t{layer + 1} * kRoles + role];
  return at < 0 ? nullptr : &spans()[at];
}

}  // namespace chorale
