#include "model/span_source.h"

#include "base/crc32c.h"

namespace chorale {

namespace {

Status CheckCrc(const ManifestView& manifest, const SpanEntry& span, std::span<const uint8_t> bytes) {
  if (span.crc == 0 || Crc32c(bytes) == span.crc) return Status::Ok();
  return Status::Invalid(Format("%s: its bytes in %s do not have the recorded checksum",
                                SpanName(span.role, span.layer).c_str(),
                                std::string(manifest.Path(span.file)).c_str()));
}

}  // namespace

Result<std::span<const uint8_t>> FileSpans::Map(const SpanEntry& span) {
  File& file = files_[span.file];
  if (file.mapped.bytes().empty()) {
    Result<OpenFile> opened =
        OpenFile::Open(std::string(manifest_.Path(span.file)), manifest_.files()[span.file].file_bytes);
    if (!opened.ok()) return opened.status();
    Result<MappedFile> mapped = MappedFile::Of(opened.value());
    if (!mapped.ok()) return mapped.status();
    file = {std::move(opened).value(), std::move(mapped).value()};
  }
  const std::span<const uint8_t> bytes = file.mapped.bytes().subspan(span.offset, span.bytes);
  CHORALE_RETURN_IF_ERROR(CheckCrc(manifest_, span, bytes));
  return bytes;
}

Result<std::span<const uint8_t>> ReadSpans::Map(const SpanEntry& span) {
  OpenFile& file = files_[span.file];
  if (!file.is_open()) {
    Result<OpenFile> opened =
        OpenFile::Open(std::string(manifest_.Path(span.file)), manifest_.files()[span.file].file_bytes);
    if (!opened.ok()) return opened.status();
    file = std::move(opened).value();
  }
  buffer_.resize(static_cast<size_t>(span.bytes));
  CHORALE_RETURN_IF_ERROR(file.ReadAt(span.offset, buffer_));
  CHORALE_RETURN_IF_ERROR(CheckCrc(manifest_, span, buffer_));
  return std::span<const uint8_t>(buffer_);
}

}  // namespace chorale
