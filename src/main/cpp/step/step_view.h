// Validated read-only views of the step and late buffers (step_abi.h).
//
// Parse is the edge: it trusts nothing, never reads outside the buffer, and refuses with the section, the index and
// the value. What has passed it needs no second look, except for what depends on the adapter slots (slot_ledger.h).
// A view points into the buffer it was parsed from and lives no longer.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "chorale/step_abi.h"
#include "step/sample_params.h"

namespace chorale {

// What a step is measured against: the engine's geometry, and how many rows the step before it sampled.
struct StepLimits {
  int32_t page_count = 0;
  int32_t page_tokens = 0;
  int64_t page_bytes = 0;
  int32_t vocab = 0;
  int32_t context_max = 0;
  int32_t window_max = 0;  // widest attention window of any layer; 0: some layer sees the whole context
  int32_t layer_groups = 0;
  int32_t slots_max = 0;
  int32_t scratch_max = 0;
  int32_t rows_max = 0;
  int32_t sequences_max = 0;
  int32_t samples_max = 0;
  int32_t top_logprobs_max = 0;
  int32_t previous_samples = -1;  // K of the step with id step_id - 1; -1: there is none
};

class StepView {
 public:
  static Result<StepView> Parse(std::span<const uint8_t> buffer, const StepLimits& limits);

  const StepHeader& header() const { return *reinterpret_cast<const StepHeader*>(buffer_.data()); }
  int64_t step_id() const { return header().step_id; }
  bool expects_late() const { return (header().flags & kStepLate) != 0; }
  int32_t merged_slot() const { return header().merged_slot; }  // -1: unmerged

  int32_t rows() const { return static_cast<int32_t>(token_ids().size()); }            // T
  int32_t sequences() const { return static_cast<int32_t>(seq_context().size()); }     // S
  int32_t samples() const { return static_cast<int32_t>(sample_row().size()); }        // K
  int32_t segments() const {                                                           // G
    return segment_start().empty() ? 0 : static_cast<int32_t>(segment_start().size()) - 1;
  }

  std::span<const int32_t> token_ids() const { return Section<int32_t>(kTokenIds); }
  std::span<const int32_t> positions() const { return Section<int32_t>(kPositions); }
  std::span<const int32_t> seq_token_start() const { return Section<int32_t>(kSeqTokenStart); }
  std::span<const int32_t> seq_context() const { return Section<int32_t>(kSeqContext); }
  std::span<const int32_t> seq_prompt() const { return Section<int32_t>(kSeqPrompt); }
  std::span<const int32_t> seq_page_start() const { return Section<int32_t>(kSeqPageStart); }
  std::span<const int32_t> page_ids() const { return Section<int32_t>(kPageIds); }
  std::span<const int32_t> seq_scratch() const { return Section<int32_t>(kSeqScratch); }
  std::span<const int32_t> segment_start() const { return Section<int32_t>(kSegmentStart); }
  std::span<const int32_t> segment_slot_start() const { return Section<int32_t>(kSegmentSlotStart); }
  std::span<const int32_t> segment_slots() const { return Section<int32_t>(kSegmentSlots); }
  std::span<const float> segment_scales() const { return Section<float>(kSegmentScales); }
  std::span<const int32_t> sample_row() const { return Section<int32_t>(kSampleRow); }
  std::span<const int32_t> sample_mask() const { return Section<int32_t>(kSampleMask); }
  std::span<const int32_t> hidden_rows() const { return Section<int32_t>(kHiddenRows); }
  std::span<const Move> moves() const { return Section<Move>(kMoves); }
  std::span<const int32_t> move_pages() const { return Section<int32_t>(kMovePages); }
  std::span<const uint8_t> move_bytes() const { return Section<uint8_t>(kMoveBytes); }

  // The pages of sequence s, in the order of its tokens.
  std::span<const int32_t> PagesOf(int32_t s) const {
    int32_t begin = seq_page_start()[s];
    return page_ids().subspan(begin, seq_page_start()[s + 1] - begin);
  }
  // The pages that a move names.
  std::span<const int32_t> PagesOf(const Move& move) const { return move_pages().subspan(move.first, move.count); }
  // How sample k is drawn.
  SampleParams ParamsOf(int32_t k) const;

 private:
  explicit StepView(std::span<const uint8_t> buffer) : buffer_(buffer) {}

  template <typename T>
  std::span<const T> Section(StepSection section) const {
    const SectionEntry& entry = sections_[section];
    return {reinterpret_cast<const T*>(buffer_.data() + entry.offset), static_cast<size_t>(entry.count)};
  }

  Status CheckHeader(const StepLimits& limits) const;
  Status CheckSequences(const StepLimits& limits) const;
  Status CheckPages(const StepLimits& limits) const;
  Status CheckSegments(const StepLimits& limits) const;
  Status CheckSamples(const StepLimits& limits) const;
  Status CheckMoves(const StepLimits& limits) const;

  std::span<const uint8_t> buffer_;
  std::array<SectionEntry, kStepSections> sections_{};
};

// The late part of a step: masks and logit bias of its sampled rows.
class LateView {
 public:
  // `step` is the begun step that this belongs to.
  static Result<LateView> Parse(std::span<const uint8_t> buffer, const StepView& step, int32_t vocab);

  int32_t masks() const { return header().mask_count; }
  // uint32[ceil(V/32)]: bit t of the mask is set when token t is allowed.
  std::span<const uint32_t> Mask(int32_t index) const;
  std::span<const int32_t> BiasIds(int32_t sample) const;
  std::span<const float> BiasValues(int32_t sample) const;

 private:
  LateView(std::span<const uint8_t> buffer, int32_t vocab) : buffer_(buffer), vocab_(vocab) {}
  const LateHeader& header() const { return *reinterpret_cast<const LateHeader*>(buffer_.data()); }

  template <typename T>
  std::span<const T> Section(LateSection section) const {
    const SectionEntry& entry = sections_[section];
    return {reinterpret_cast<const T*>(buffer_.data() + entry.offset), static_cast<size_t>(entry.count)};
  }

  Status CheckMasks(const StepView& step) const;
  Status CheckBias(const StepView& step) const;

  std::span<const uint8_t> buffer_;
  int32_t vocab_;
  std::array<SectionEntry, kLateSections> sections_{};
};

}  // namespace chorale
