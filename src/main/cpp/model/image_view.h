// Validated views of manifests and packed images (image_abi.h).
//
// Java has read and checked the original files; this is checked again because a packed image may come from anywhere and
// a wrong span would be read as weights. Views point into the bytes they were parsed from and live no longer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "chorale/image_abi.h"
#include "model/mapped_file.h"

namespace chorale {

// The role of a target's weight, bias, A or B.
inline int32_t RoleOf(Role first, Target target) { return int32_t{first} + int32_t{target}; }

int64_t DTypeBytes(int32_t dtype);

bool IsNorm(int32_t role);
bool IsBias(int32_t role);

// Input and output widths of a linear.
int64_t InWidth(const ModelSpec& spec, Target target);
int64_t OutWidth(const ModelSpec& spec, Target target);

// "layer 3 LoRA A of q" and the like, for messages.
std::string SpanName(int32_t role, int32_t layer);

class ManifestView {
 public:
  // Every tensor that the spec asks for is there once, with its shape, inside its file. The buffer is 8-byte aligned.
  static Result<ManifestView> ParseModel(std::span<const uint8_t> buffer);
  // Every A has its B, of one rank, with the shapes of the base model.
  static Result<ManifestView> ParseAdapter(std::span<const uint8_t> buffer, const ModelSpec& base);

  const ModelSpec& spec() const { return *At<ModelSpec>(header().spec_offset); }           // models only
  std::span<const float> inv_freq() const;                                                 // models only
  std::span<const int32_t> windows() const;  // models only; [layers], 0: sees the whole context
  std::span<const FileEntry> files() const;
  std::span<const SpanEntry> spans() const;
  std::string_view Path(int32_t file) const;  // empty: the packed image itself
  // The span of a role (of a layer; -1 for roles without one), or null. Offsets may be of any alignment.
  const SpanEntry* Find(int32_t role, int32_t layer = -1) const;

 private:
  friend class PackView;
  enum class Home { kFiles, kPack };  // where its spans lie

  static Result<ManifestView> Parse(std::span<const uint8_t> buffer, ManifestKind kind, const ModelSpec* base,
                                    Home home);
  explicit ManifestView(std::span<const uint8_t> buffer) : buffer_(buffer) {}

  const ManifestHeader& header() const { return *At<ManifestHeader>(0); }
  template <typename T>
  const T* At(int64_t offset) const {
    return reinterpret_cast<const T*>(buffer_.data() + offset);
  }

  Status CheckHeader(ManifestKind kind) const;
  Status CheckSpec() const;
  Status CheckFiles(Home home) const;
  Status CheckSpans(const ModelSpec& base, Home home);
  Status CheckComplete() const;
  Status CheckPairs() const;

  std::span<const uint8_t> buffer_;
  int32_t layers_ = 0;
  std::vector<int32_t> index_;  // [(layers + 1) * roles] span of a role of a layer; -1: absent
};

// A packed image: one model and its adapters in one file.
class PackView {
 public:
  static Result<PackView> Open(const std::string& path);
  // The bytes outlive the view and are 8-byte aligned.
  static Result<PackView> Parse(std::span<const uint8_t> bytes);

  const ManifestView& model() const { return manifests_[0]; }
  int32_t adapters() const { return static_cast<int32_t>(manifests_.size()) - 1; }
  const ManifestView& adapter(int32_t index) const { return manifests_[index + 1]; }
  std::string_view adapter_name(int32_t index) const { return names_[index + 1]; }
  std::string_view model_name() const { return names_[0]; }
  // The bytes of the manifest of an entry (0: the model), to hand on to the C ABI.
  std::span<const uint8_t> manifest_bytes(int32_t entry) const { return manifests_[entry].buffer_; }

  // The bytes of a span of one of its manifests; their checksum, where recorded, is checked here.
  Result<std::span<const uint8_t>> Map(const SpanEntry& span) const;

 private:
  PackView() = default;

  Status Read(std::span<const uint8_t> bytes);

  MappedFile file_;  // empty when parsed from memory
  std::span<const uint8_t> bytes_;
  std::vector<ManifestView> manifests_;
  std::vector<std::string_view> names_;
};

}  // namespace chorale
