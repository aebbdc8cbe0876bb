// SpanSource: where the bytes of a manifest's spans come from: files that it names, or the packed image it lies in.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "model/image_view.h"
#include "model/mapped_file.h"
#include "model/open_file.h"

namespace chorale {

// Bytes of a file that is open as long as the source lives; no file: there is none to be read.
struct FilePlace {
  const OpenFile* file = nullptr;
  int64_t offset = 0;
};

class SpanSource {
 public:
  virtual ~SpanSource() = default;
  // The bytes of a span. A model's are valid as long as the source, an adapter's until the next call.
  virtual Result<std::span<const uint8_t>> Map(const SpanEntry& span) = 0;
  // Where the bytes of a span that has been mapped may be read instead, by several threads at once.
  virtual FilePlace PlaceOf(const SpanEntry&) const { return {}; }
};

// Maps each file when its first span is asked for. Checksums, where recorded, are checked.
class FileSpans final : public SpanSource {
 public:
  explicit FileSpans(const ManifestView& manifest) : manifest_(manifest), files_(manifest.files().size()) {}
  Result<std::span<const uint8_t>> Map(const SpanEntry& span) override;
  FilePlace PlaceOf(const SpanEntry& span) const override { return {&files_[span.file].file, span.offset}; }

 private:
  struct File {
    OpenFile file;
    MappedFile mapped;
  };

  const ManifestView& manifest_;
  std::vector<File> files_;
};

// Reads each span when it is asked for. An adapter's files may be replaced or cut while they are read: through a mapping
// that would be a signal that ends the process, here it is a status.
class ReadSpans final : public SpanSource {
 public:
  explicit ReadSpans(const ManifestView& manifest) : manifest_(manifest), files_(manifest.files().size()) {}
  Result<std::span<const uint8_t>> Map(const SpanEntry& span) override;

 private:
  const ManifestView& manifest_;
  std::vector<OpenFile> files_;
  std::vector<uint8_t> buffer_;
};

class PackSpans final : public SpanSource {
 public:
  explicit PackSpans(const PackView& pack) : pack_(pack) {}
  Result<std::span<const uint8_t>> Map(const SpanEntry& span) override { return pack_.Map(span); }

 private:
  const PackView& pack_;
};

}  // namespace chorale
