// Reads result buffers in tests and tools. It trusts them: they come from our own writer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "chorale/step_abi.h"

namespace chorale::testing {

class ResultReader {
 public:
  explicit ResultReader(std::vector<uint8_t> buffer) : buffer_(std::move(buffer)) {}

  const ResultHeader& header() const { return *reinterpret_cast<const ResultHeader*>(buffer_.data()); }
  std::span<const int32_t> drawn_ids() const { return Section<int32_t>(kDrawnIds); }
  std::span<const float> drawn_logprobs() const { return Section<float>(kDrawnLogprobs); }
  std::span<const int32_t> top_start() const { return Section<int32_t>(kTopStart); }
  std::span<const int32_t> top_ids() const { return Section<int32_t>(kTopIds); }
  std::span<const float> top_logprobs() const { return Section<float>(kTopLogprobs); }
  std::span<const float> hidden() const { return Section<float>(kHidden); }
  std::span<const int32_t> completed_loads() const { return Section<int32_t>(kCompletedLoads); }
  std::span<const uint8_t> page_bytes() const { return Section<uint8_t>(kPageBytes); }
  std::span<const int64_t> phase_nanos() const { return Section<int64_t>(kPhaseNanos); }
  std::string fault() const {
    auto text = Section<uint8_t>(kFaultText);
    return {text.begin(), text.end()};
  }

  template <typename T>
  std::span<const T> Section(ResultSection section) const {
    const auto* table = reinterpret_cast<const SectionEntry*>(buffer_.data() + sizeof(ResultHeader));
    return {reinterpret_cast<const T*>(buffer_.data() + table[section].offset),
            static_cast<size_t>(table[section].count)};
  }

 private:
  std::vector<uint8_t> buffer_;
};

}  // namespace chorale::testing
