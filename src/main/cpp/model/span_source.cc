#include "model/span_source.h"

#include "base/crc32c.h"

namespace chorale {

Result<std::span<const uint8_t>> FileSpans::Map(const SpanEntry& span) {
  MappedFile& file = files_[span.file];
  if (file.bytes().empty()) {
    Result<MappedFile> opened =
        MappedFile::Open(std::string(manifest_.Path(span.file)), manifest_.files()[span.file].file_bytes);
    if (!opened.ok()) return opened.status();
    file = std::move(opened).value();
  }
  const std::span<const uint8_t> bytes = file.bytes().subspan(span.offset, span.bytes);
  if (span.crc != 0 && Crc32c(bytes) != span.crc) {
    return Status::Invalid(Format("%s: its bytes in %s do not have the recorded checksum",
                                  SpanName(span.role, span.layer).c_str(),
                                  std::string(manifest_.Path(span.file)).c_str()));
  }
  return bytes;
}

}  // namespace chorale
