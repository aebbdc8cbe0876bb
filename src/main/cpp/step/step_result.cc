#include "step/step_result.h"

#include <cstring>

namespace chorale {
namespace {

using Sections = std::array<std::span<const uint8_t>, kResultSections>;

template <typename T>
std::span<const uint8_t> Bytes(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

constexpr std::array<int64_t, kResultSections> kElementBytes = {4, 4, 4, 4, 4, 4, 4, 1, 8, 1};

int64_t Align(int64_t bytes) { return (bytes + kSectionAlign - 1) / kSectionAlign * kSectionAlign; }

Status Write(int64_t step_id, int32_t status, const Sections& sections, std::span<uint8_t> out, int64_t* bytes) {
  std::array<SectionEntry, kResultSections> table{};
  int64_t end = Align(sizeof(ResultHeader) + sizeof(table));
  for (int s = 0; s < kResultSections; ++s) {
    auto section_bytes = static_cast<int64_t>(sections[s].size());
    if (section_bytes == 0) continue;
    table[s] = {end, section_bytes / kElementBytes[s]};
    end = Align(end + section_bytes);
  }
  *bytes = end;
  if (end > static_cast<int64_t>(out.size())) {
    return Status::Exhausted(
        Format("result: %lld bytes do not fit into %zu", static_cast<long long>(end), out.size()));
  }
  std::memset(out.data(), 0, end);  // the gaps too: equal results are equal bytes
  ResultHeader header{kResultMagic, kAbiVersion, end, step_id, status, kResultSections};
  std::memcpy(out.data(), &header, sizeof(header));
  std::memcpy(out.data() + sizeof(header), table.data(), sizeof(table));
  for (int s = 0; s < kResultSections; ++s) {
    if (!sections[s].empty()) std::memcpy(out.data() + table[s].offset, sections[s].data(), sections[s].size());
  }
  return Status::Ok();
}

}  // namespace

Status WriteResult(const StepResult& result, std::span<uint8_t> out, int64_t* bytes) {
  Sections sections;
  sections[kDrawnIds] = Bytes(result.drawn_ids);
  sections[kDrawnLogprobs] = Bytes(result.drawn_logprobs);
  sections[kTopStart] = Bytes(result.top_start);
  sections[kTopIds] = Bytes(result.top_ids);
  sections[kTopLogprobs] = Bytes(result.top_logprobs);
  sections[kHidden] = Bytes(result.hidden);
  sections[kCompletedLoads] = Bytes(result.completed_loads);
  sections[kPageBytes] = result.page_bytes;
  sections[kPhaseNanos] = Bytes(std::span<const int64_t>(result.phase_nanos));
  return Write(result.step_id, CH_OK, sections, out, bytes);
}

Status WriteFault(int64_t step_id, const Status& fault, std::span<uint8_t> out, int64_t* bytes) {
  Sections sections;
  sections[kFaultText] = {reinterpret_cast<const uint8_t*>(fault.message().data()), fault.message().size()};
  return Write(step_id, fault.code(), sections, out, bytes);
}

}  // namespace chorale
