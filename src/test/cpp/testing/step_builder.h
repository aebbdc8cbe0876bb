// Builds step and late buffers for tests and tools. Fields are public, so that a test can tell one lie at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

#include "chorale/step_abi.h"
#include "step/sample_params.h"

namespace chorale::testing {

// Lays out header, section table and sections. A vector's memory is 16-byte aligned by the default operator new.
template <typename Header, size_t kSections>
class BufferLayout {
 public:
  template <typename T>
  void Add(int32_t section, const std::vector<T>& values) {
    table_[section] = {values.empty() ? 0 : static_cast<int64_t>(kDataBegin + data_.size()),
                       static_cast<int64_t>(values.size())};
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    data_.insert(data_.end(), bytes, bytes + values.size() * sizeof(T));
    data_.resize((data_.size() + kSectionAlign - 1) / kSectionAlign * kSectionAlign);
  }

  std::vector<uint8_t> Build(Header header) const {
    std::vector<uint8_t> buffer(kDataBegin + data_.size());
    header.total_bytes = static_cast<int64_t>(buffer.size());
    std::memcpy(buffer.data(), &header, sizeof(header));
    std::memcpy(buffer.data() + sizeof(header), table_, sizeof(table_));
    if (!data_.empty()) std::memcpy(buffer.data() + kDataBegin, data_.data(), data_.size());
    return buffer;
  }

 private:
  static constexpr size_t kDataBegin =
      (sizeof(Header) + kSections * sizeof(SectionEntry) + kSectionAlign - 1) / kSectionAlign * kSectionAlign;
  SectionEntry table_[kSections] = {};
  std::vector<uint8_t> data_;
};

struct StepBuilder {
  StepHeader header{kStepMagic, kAbiVersion, 0, 0, 0, kStepSections, kUnmerged, -1, 0};
  std::vector<int32_t> token_ids, positions;
  std::vector<int32_t> seq_token_start{0}, seq_context, seq_prompt, seq_page_start{0}, page_ids, seq_scratch;
  std::vector<int32_t> segment_start{0}, segment_slot_start{0}, segment_slots;
  std::vector<float> segment_scales;
  std::vector<int32_t> sample_row;
  std::vector<SampleParams> sample_params;
  std::vector<int32_t> sample_mask;
  std::vector<int32_t> hidden_rows;
  std::vector<Move> moves;
  std::vector<int32_t> move_pages;
  std::vector<uint8_t> move_bytes;

  StepBuilder& Id(int64_t step_id) {
    header.step_id = step_id;
    return *this;
  }

  StepBuilder& Late() {
    header.flags |= kStepLate;
    return *this;
  }

  StepBuilder& Merged(int32_t slot) {
    header.weight_mode = kMerged;
    header.merged_slot = slot;
    return *this;
  }

  // Rows of one sequence from a position on.
  StepBuilder& Sequence(const std::vector<int32_t>& ids, int32_t first_position, const std::vector<int32_t>& pages,
                        int32_t prompt, int32_t scratch = -1) {
    auto position = first_position;
    for (int32_t id : ids) {
      token_ids.push_back(id);
      positions.push_back(position++);
    }
    seq_token_start.push_back(static_cast<int32_t>(token_ids.size()));
    seq_context.push_back(position);
    seq_prompt.push_back(prompt);
    page_ids.insert(page_ids.end(), pages.begin(), pages.end());
    seq_page_start.push_back(static_cast<int32_t>(page_ids.size()));
    seq_scratch.push_back(scratch);
    return *this;
  }

  // The rows since the last segment, and the adapters that they use: (slot, scale).
  StepBuilder& Segment(std::initializer_list<std::pair<int32_t, float>> slots = {}) {
    segment_start.push_back(static_cast<int32_t>(token_ids.size()));
    for (auto [slot, scale] : slots) {
      segment_slots.push_back(slot);
      segment_scales.push_back(scale);
    }
    segment_slot_start.push_back(static_cast<int32_t>(segment_slots.size()));
    return *this;
  }

  // Samples a row; -1: the last one so far.
  StepBuilder& Sample(const SampleParams& params = {}, int32_t row = -1, int32_t mask = -1) {
    sample_row.push_back(row < 0 ? static_cast<int32_t>(token_ids.size()) - 1 : row);
    sample_params.push_back(params);
    sample_mask.push_back(mask);
    return *this;
  }

  StepBuilder& Load(int32_t slot, int64_t handle, const std::vector<int32_t>& pages, int32_t group_begin,
                    int32_t group_end) {
    Move move = MoveOf(kMoveLoad, slot, pages);
    move.a = group_begin;
    move.b = group_end;
    move.handle = handle;
    return Add(move);
  }
  StepBuilder& Drop(int32_t slot) { return Add(MoveOf(kMoveDrop, slot, {})); }
  StepBuilder& CopyPage(int32_t from, int32_t to) { return Add(MoveOf(kMoveCopyPage, 0, {from, to})); }
  StepBuilder& Export(const std::vector<int32_t>& pages) { return Add(MoveOf(kMoveExportPages, 0, pages)); }
  StepBuilder& Import(const std::vector<int32_t>& pages, const std::vector<uint8_t>& bytes) {
    Move move = MoveOf(kMoveImportPages, 0, pages);
    move.handle = static_cast<int64_t>(move_bytes.size());
    move_bytes.insert(move_bytes.end(), bytes.begin(), bytes.end());
    return Add(move);
  }
  StepBuilder& Merge(int32_t slot, float scale = 1) {
    Move move = MoveOf(kMoveMerge, slot, {});
    move.scale = scale;
    return Add(move);
  }
  StepBuilder& Unmerge() { return Add(MoveOf(kMoveUnmerge, 0, {})); }
  StepBuilder& Reset(int32_t scratch) {
    Move move = MoveOf(kMoveResetSequence, 0, {});
    move.a = scratch;
    return Add(move);
  }

  std::vector<uint8_t> Build() const {
    BufferLayout<StepHeader, kStepSections> layout;
    layout.Add(kTokenIds, token_ids);
    layout.Add(kPositions, positions);
    layout.Add(kSeqTokenStart, seq_token_start);
    layout.Add(kSeqContext, seq_context);
    layout.Add(kSeqPrompt, seq_prompt);
    layout.Add(kSeqPageStart, seq_page_start);
    layout.Add(kPageIds, page_ids);
    layout.Add(kSeqScratch, seq_scratch);
    layout.Add(kSegmentStart, segment_start);
    layout.Add(kSegmentSlotStart, segment_slot_start);
    layout.Add(kSegmentSlots, segment_slots);
    layout.Add(kSegmentScales, segment_scales);
    layout.Add(kSampleRow, sample_row);
    layout.Add(kSampleTemperature, Column(&SampleParams::temperature));
    layout.Add(kSampleTopK, Column(&SampleParams::top_k));
    layout.Add(kSampleTopP, Column(&SampleParams::top_p));
    layout.Add(kSampleMinP, Column(&SampleParams::min_p));
    layout.Add(kSampleRepetition, Column(&SampleParams::repetition));
    layout.Add(kSamplePresence, Column(&SampleParams::presence));
    layout.Add(kSampleFrequency, Column(&SampleParams::frequency));
    layout.Add(kSampleSeed, Column(&SampleParams::seed));
    layout.Add(kSampleTopLogprobs, Column(&SampleParams::top_logprobs));
    layout.Add(kSampleMask, sample_mask);
    layout.Add(kHiddenRows, hidden_rows);
    layout.Add(kMoves, moves);
    layout.Add(kMovePages, move_pages);
    layout.Add(kMoveBytes, move_bytes);
    return layout.Build(header);
  }

 private:
  Move MoveOf(MoveKind kind, int32_t slot, const std::vector<int32_t>& pages) {
    Move move{kind, slot, static_cast<int32_t>(move_pages.size()), static_cast<int32_t>(pages.size()), 0, 0, 0, 0, 0};
    move_pages.insert(move_pages.end(), pages.begin(), pages.end());
    return move;
  }

  StepBuilder& Add(const Move& move) {
    moves.push_back(move);
    return *this;
  }

  template <typename T>
  std::vector<T> Column(T SampleParams::*field) const {
    std::vector<T> column;
    for (const SampleParams& params : sample_params) column.push_back(params.*field);
    return column;
  }
};

struct LateBuilder {
  LateHeader header{kLateMagic, kAbiVersion, 0, 0, kLateSections, 0};
  int32_t vocab;
  std::vector<uint32_t> mask_bits;
  std::vector<int32_t> bias_start{0}, bias_ids;
  std::vector<float> bias_values;

  LateBuilder(int64_t step_id, int32_t vocab) : vocab(vocab) { header.step_id = step_id; }

  // A mask that allows these tokens; its index is the number of masks before it.
  LateBuilder& Mask(const std::vector<int32_t>& allowed) {
    size_t begin = mask_bits.size();
    mask_bits.resize(begin + (vocab + 31) / 32);
    for (int32_t token : allowed) mask_bits[begin + token / 32] |= uint32_t{1} << (token % 32);
    ++header.mask_count;
    return *this;
  }

  // The bias of the next sample. Every sample has one, or none has.
  LateBuilder& Bias(const std::vector<std::pair<int32_t, float>>& bias) {
    for (auto [id, value] : bias) {
      bias_ids.push_back(id);
      bias_values.push_back(value);
    }
    bias_start.push_back(static_cast<int32_t>(bias_ids.size()));
    return *this;
  }

  std::vector<uint8_t> Build() const {
    BufferLayout<LateHeader, kLateSections> layout;
    layout.Add(kMaskBits, mask_bits);
    layout.Add(kBiasStart, bias_ids.empty() ? std::vector<int32_t>{} : bias_start);
    layout.Add(kBiasIds, bias_ids);
    layout.Add(kBiasValues, bias_values);
    return layout.Build(header);
  }
};

}  // namespace chorale::testing
