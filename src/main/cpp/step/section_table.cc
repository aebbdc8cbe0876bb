#include "step/section_table.h"

#include <cstring>

namespace chorale {
namespace {

long long Wide(int64_t value) { return value; }  // what %lld wants

}  // namespace

Status ReadSections(const char* kind, std::span<const uint8_t> buffer, int64_t header_bytes,
                    std::span<const SectionShape> shapes, std::span<SectionEntry> out) {
  auto size = static_cast<int64_t>(buffer.size());
  auto count = static_cast<int64_t>(shapes.size());
  int64_t data_begin = header_bytes + count * static_cast<int64_t>(sizeof(SectionEntry));
  if (size < data_begin) {
    return Status::Invalid(Format("%s: %lld bytes, but header and section table alone take %lld", kind, Wide(size),
                                  Wide(data_begin)));
  }
  std::memcpy(out.data(), buffer.data() + header_bytes, out.size_bytes());
  for (int64_t s = 0; s < count; ++s) {
    SectionEntry& entry = out[s];
    const char* name = shapes[s].name;
    if (entry.count < 0) return Status::Invalid(Format("%s section %s: count is %lld", kind, name, Wide(entry.count)));
    if (entry.count == 0 && entry.offset == 0) continue;
    if (entry.offset % kSectionAlign != 0) {
      return Status::Invalid(
          Format("%s section %s: offset %lld is not a multiple of %d", kind, name, Wide(entry.offset), kSectionAlign));
    }
    if (entry.offset < data_begin || entry.offset > size) {
      return Status::Invalid(Format("%s section %s: offset %lld is outside [%lld, %lld]", kind, name,
                                    Wide(entry.offset), Wide(data_begin), Wide(size)));
    }
    if (entry.count > (size - entry.offset) / shapes[s].element_bytes) {
      return Status::Invalid(Format("%s section %s: %lld elements at offset %lld end beyond the buffer's %lld bytes",
                                    kind, name, Wide(entry.count), Wide(entry.offset), Wide(size)));
    }
  }
  for (int64_t a = 0; a < count; ++a) {
    for (int64_t b = 0; b < a; ++b) {
      int64_t a_end = out[a].offset + out[a].count * shapes[a].element_bytes;
      int64_t b_end = out[b].offset + out[b].count * shapes[b].element_bytes;
      if (out[a].count > 0 && out[b].count > 0 && out[a].offset < b_end && out[b].offset < a_end) {
        return Status::Invalid(Format("%s section %s: bytes [%lld, %lld) overlap section %s", kind, shapes[a].name,
                                      Wide(out[a].offset), Wide(a_end), shapes[b].name));
      }
    }
  }
  return Status::Ok();
}

Status CheckCount(const char* section, int64_t count, int64_t expected, const char* expected_name) {
  if (count == expected) return Status::Ok();
  return Status::Invalid(
      Format("section %s: %lld elements instead of %s = %lld", section, Wide(count), expected_name, Wide(expected)));
}

Status CheckAtMost(const char* section, int64_t count, int64_t most, const char* limit_name) {
  if (count <= most) return Status::Ok();
  return Status::Invalid(
      Format("section %s: %lld elements are more than %s = %lld", section, Wide(count), limit_name, Wide(most)));
}

Status CheckStarts(const char* section, std::span<const int32_t> start, int64_t items, int64_t total,
                   const char* total_name, int32_t least) {
  if (start.empty() && items == 0 && total == 0) return Status::Ok();
  CHORALE_RETURN_IF_ERROR(CheckCount(section, static_cast<int64_t>(start.size()), items + 1, "items + 1"));
  if (start[0] != 0) return Status::Invalid(Format("section %s[0]: is %d, not 0", section, start[0]));
  for (int64_t i = 1; i <= items; ++i) {
    if (int64_t{start[i]} < int64_t{start[i - 1]} + least) {
      return Status::Invalid(Format("section %s[%lld]: %d is less than %lld, the entry before and at least %d more",
                                    section, Wide(i), start[i], Wide(int64_t{start[i - 1]} + least), least));
    }
  }
  if (start[items] != total) {
    return Status::Invalid(Format("section %s[%lld]: ends at %d, but %s has %lld elements", section, Wide(items),
                                  start[items], total_name, Wide(total)));
  }
  return Status::Ok();
}

Status CheckRange(const char* section, int64_t index, int64_t value, int64_t begin, int64_t end) {
  if (begin <= value && value < end) return Status::Ok();
  return Status::Invalid(Format("section %s[%lld]: %lld is outside [%lld, %lld)", section, Wide(index), Wide(value),
                                Wide(begin), Wide(end)));
}

}  // namespace chorale
