#include "step/step_view.h"

#include <cmath>
#include <limits>
#include <vector>

#include "step/section_table.h"

namespace chorale {
namespace {

constexpr std::array<SectionShape, kStepSections> kShapes = {{
    {"token_ids", 4},          {"positions", 4},
    {"seq_token_start", 4},    {"seq_context", 4},
    {"seq_prompt", 4},         {"seq_page_start", 4},
    {"page_ids", 4},           {"seq_scratch", 4},
    {"segment_start", 4},      {"segment_slot_start", 4},
    {"segment_slots", 4},      {"segment_scales", 4},
    {"sample_row", 4},         {"sample_temperature", 4},
    {"sample_top_k", 4},       {"sample_top_p", 4},
    {"sample_min_p", 4},       {"sample_repetition", 4},
    {"sample_presence", 4},    {"sample_frequency", 4},
    {"sample_seed", 8},        {"sample_top_logprobs", 4},
    {"sample_mask", 4},        {"hidden_rows", 4},
    {"moves", sizeof(Move)},   {"move_pages", 4},
    {"move_bytes", 1},
}};

const char* Name(StepSection section) { return kShapes[section].name; }

long long Wide(int64_t value) { return value; }

// A float in [low, high], or above low when low itself is refused.
Status CheckFloat(StepSection section, int64_t index, float value, double low, double high, bool low_allowed = true) {
  bool inside = std::isfinite(value) && value <= high && (low_allowed ? value >= low : value > low);
  if (inside) return Status::Ok();
  return Status::Invalid(Format("section %s[%lld]: %g is not a finite number in %c%g, %g]", Name(section), Wide(index),
                                static_cast<double>(value), low_allowed ? '[' : '(', low, high));
}

constexpr double kFloatMax = std::numeric_limits<float>::max();

int64_t PagesFor(int64_t tokens, int64_t page_tokens) { return (tokens + page_tokens - 1) / page_tokens; }

}  // namespace

Result<StepView> StepView::Parse(std::span<const uint8_t> buffer, const StepLimits& limits) {
  if (buffer.size() < sizeof(StepHeader)) {
    return Status::Invalid(
        Format("step: %zu bytes are less than the header's %zu", buffer.size(), sizeof(StepHeader)));
  }
  if (reinterpret_cast<uintptr_t>(buffer.data()) % kSectionAlign != 0) {
    return Status::Invalid(Format("step: the buffer's address is not a multiple of %d", kSectionAlign));
  }
  StepView view(buffer);
  CHORALE_RETURN_IF_ERROR(view.CheckHeader(limits));
  CHORALE_RETURN_IF_ERROR(ReadSections("step", buffer, sizeof(StepHeader), kShapes, view.sections_));
  CHORALE_RETURN_IF_ERROR(view.CheckSequences(limits));
  CHORALE_RETURN_IF_ERROR(view.CheckPages(limits));
  CHORALE_RETURN_IF_ERROR(view.CheckSegments(limits));
  CHORALE_RETURN_IF_ERROR(view.CheckSamples(limits));
  CHORALE_RETURN_IF_ERROR(view.CheckMoves(limits));
  return view;
}

Status StepView::CheckHeader(const StepLimits& limits) const {
  const StepHeader& h = header();
  if (h.magic != kStepMagic) return Status::Invalid(Format("step: magic is %#x, not %#x", h.magic, kStepMagic));
  if (h.abi_version != kAbiVersion) {
    return Status::Invalid(Format("step: ABI version is %d, not %d", h.abi_version, kAbiVersion));
  }
  if (h.total_bytes != static_cast<int64_t>(buffer_.size())) {
    return Status::Invalid(
        Format("step: total_bytes is %lld, but the buffer has %zu", Wide(h.total_bytes), buffer_.size()));
  }
  if (h.section_count != kStepSections) {
    return Status::Invalid(Format("step: section_count is %d, not %d", h.section_count, kStepSections));
  }
  if ((h.flags & ~kStepLate) != 0) return Status::Invalid(Format("step: unknown flags %#x", h.flags));
  if (h.step_id < 0) return Status::Invalid(Format("step: step_id is %lld", Wide(h.step_id)));
  if (h.reserved != 0) return Status::Invalid(Format("step: reserved is %lld, not 0", Wide(h.reserved)));
  if (h.weight_mode == kUnmerged) {
    if (h.merged_slot != -1) {
      return Status::Invalid(Format("step: merged_slot is %d in an unmerged step, not -1", h.merged_slot));
    }
  } else if (h.weight_mode == kMerged) {
    if (h.merged_slot < 0 || h.merged_slot >= limits.slots_max) {
      return Status::Invalid(Format("step: merged_slot %d is outside [0, %d)", h.merged_slot, limits.slots_max));
    }
  } else {
    return Status::Invalid(Format("step: weight_mode is %d", h.weight_mode));
  }
  return Status::Ok();
}

Status StepView::CheckSequences(const StepLimits& limits) const {
  auto count_t = static_cast<int64_t>(token_ids().size());
  auto count_s = static_cast<int64_t>(seq_context().size());
  CHORALE_RETURN_IF_ERROR(CheckAtMost(Name(kTokenIds), count_t, limits.rows_max, "rows_max"));
  CHORALE_RETURN_IF_ERROR(CheckAtMost(Name(kSeqContext), count_s, limits.sequences_max, "sequences_max"));
  CHORALE_RETURN_IF_ERROR(CheckCount(Name(kPositions), sections_[kPositions].count, count_t, "T"));
  CHORALE_RETURN_IF_ERROR(CheckStarts(Name(kSeqTokenStart), seq_token_start(), count_s, count_t, "token_ids", 1));
  CHORALE_RETURN_IF_ERROR(CheckCount(Name(kSeqPrompt), sections_[kSeqPrompt].count, count_s, "S"));
  CHORALE_RETURN_IF_ERROR(CheckCount(Name(kSeqScratch), sections_[kSeqScratch].count, count_s, "S"));

  for (int64_t t = 0; t < count_t; ++t) {
    int32_t id = token_ids()[t];
    if (id >= limits.vocab) return CheckRange(Name(kTokenIds), t, id, 0, limits.vocab);
    if (id < 0 && -(int64_t{id} + 1) >= limits.previous_samples) {
      return Status::Invalid(Format("section token_ids[%lld]: %d means sample %lld of the previous step, which has %d",
                                    Wide(t), id, Wide(-(int64_t{id} + 1)), std::max(limits.previous_samples, 0)));
    }
  }
  std::vector<bool> scratch_used(limits.scratch_max);
  for (int64_t s = 0; s < count_s; ++s) {
    int32_t begin = seq_token_start()[s];
    int32_t end = seq_token_start()[s + 1];
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kPositions), begin, positions()[begin], 0, limits.context_max));
    for (int32_t t = begin + 1; t < end; ++t) {
      if (int64_t{positions()[t]} != int64_t{positions()[t - 1]} + 1) {
        return Status::Invalid(Format("section positions[%d]: %d does not follow %d in sequence %lld", t,
                                      positions()[t], positions()[t - 1], Wide(s)));
      }
    }
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kPositions), end - 1, positions()[end - 1], 0, limits.context_max));
    if (seq_context()[s] != positions()[end - 1] + 1) {
      return Status::Invalid(Format("section seq_context[%lld]: is %d, but the last position of the sequence is %d",
                                    Wide(s), seq_context()[s], positions()[end - 1]));
    }
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kSeqPrompt), s, seq_prompt()[s], 0, int64_t{limits.context_max} + 1));
    int32_t scratch = seq_scratch()[s];
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kSeqScratch), s, scratch, -1, limits.scratch_max));
    if (scratch >= 0) {
      if (scratch_used[scratch]) {
        return Status::Invalid(
            Format("section seq_scratch[%lld]: slot %d is another sequence's too", Wide(s), scratch));
      }
      scratch_used[scratch] = true;
    }
  }
  return Status::Ok();
}

Status StepView::CheckPages(const StepLimits& limits) const {
  int64_t count_s = sequences();
  CHORALE_RETURN_IF_ERROR(CheckStarts(Name(kSeqPageStart), seq_page_start(), count_s,
                                      static_cast<int64_t>(page_ids().size()), "page_ids", 0));
  // A page that is written is named once in the whole step; pages that are only read may be shared.
  std::vector<int32_t> written_by(limits.page_count, -1);  // index into page_ids
  for (int64_t s = 0; s < count_s; ++s) {
    int64_t begin = seq_page_start()[s];
    int64_t count = seq_page_start()[s + 1] - begin;
    int64_t needed = PagesFor(seq_context()[s], limits.page_tokens);
    if (count < needed) {
      return Status::Invalid(Format("section seq_page_start[%lld]: sequence %lld has %lld pages, its %d tokens need %lld",
                                    Wide(s + 1), Wide(s), Wide(count), seq_context()[s], Wide(needed)));
    }
    int64_t first_position = positions()[seq_token_start()[s]];
    int64_t first_written = first_position / limits.page_tokens;
    for (int64_t i = 0; i < count; ++i) {
      int32_t page = page_ids()[begin + i];
      if (page == -1) {
        // Position p sees (p - window, p]: the page is dead when its last token is before all that row p sees.
        bool dead = limits.window_max > 0 && (i + 1) * limits.page_tokens <= first_position - limits.window_max + 1;
        if (dead) continue;
        return Status::Invalid(Format("section page_ids[%lld]: -1 for tokens from %lld of sequence %lld, which are read",
                                      Wide(begin + i), Wide(i * limits.page_tokens), Wide(s)));
      }
      CHORALE_RETURN_IF_ERROR(CheckRange(Name(kPageIds), begin + i, page, 0, limits.page_count));
      if (i >= first_written && i < needed) written_by[page] = static_cast<int32_t>(begin + i);
    }
  }
  for (int64_t i = 0; i < static_cast<int64_t>(page_ids().size()); ++i) {
    int32_t page = page_ids()[i];
    if (page >= 0 && written_by[page] >= 0 && written_by[page] != i) {
      return Status::Invalid(Format("section page_ids[%lld]: page %d is written at page_ids[%d] in this step",
                                    Wide(i), page, written_by[page]));
    }
  }
  return Status::Ok();
}

Status StepView::CheckSegments(const StepLimits& limits) const {
  int64_t count_g = segments();
  CHORALE_RETURN_IF_ERROR(CheckStarts(Name(kSegmentStart), segment_start(), count_g, rows(), "token_ids", 1));
  auto count_slots = static_cast<int64_t>(segment_slots().size());
  CHORALE_RETURN_IF_ERROR(
      CheckStarts(Name(kSegmentSlotStart), segment_slot_start(), count_g, count_slots, "segment_slots", 0));
  CHORALE_RETURN_IF_ERROR(
      CheckCount(Name(kSegmentScales), sections_[kSegmentScales].count, count_slots, "segment_slots"));
  std::vector<int64_t> seen_in(limits.slots_max, -1);
  for (int64_t g = 0; g < count_g; ++g) {
    for (int32_t i = segment_slot_start()[g]; i < segment_slot_start()[g + 1]; ++i) {
      int32_t slot = segment_slots()[i];
      CHORALE_RETURN_IF_ERROR(CheckRange(Name(kSegmentSlots), i, slot, 0, limits.slots_max));
      if (seen_in[slot] == g) {
        return Status::Invalid(Format("section segment_slots[%d]: slot %d is twice in segment %lld", i, slot, Wide(g)));
      }
      seen_in[slot] = g;
      CHORALE_RETURN_IF_ERROR(CheckFloat(kSegmentScales, i, segment_scales()[i], -kFloatMax, kFloatMax));
    }
  }
  return Status::Ok();
}

Status StepView::CheckSamples(const StepLimits& limits) const {
  int64_t count_k = samples();
  CHORALE_RETURN_IF_ERROR(CheckAtMost(Name(kSampleRow), count_k, limits.samples_max, "samples_max"));
  for (int s = kSampleTemperature; s <= kSampleMask; ++s) {
    CHORALE_RETURN_IF_ERROR(CheckCount(kShapes[s].name, sections_[s].count, count_k, "K"));
  }
  int64_t sequence = 0;
  for (int64_t k = 0; k < count_k; ++k) {
    int32_t row = sample_row()[k];
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kSampleRow), k, row, 0, rows()));
    if (k > 0 && row < sample_row()[k - 1]) {
      return Status::Invalid(
          Format("section sample_row[%lld]: %d is below the entry before, %d", Wide(k), row, sample_row()[k - 1]));
    }
    while (seq_token_start()[sequence + 1] <= row) ++sequence;

    SampleParams p = ParamsOf(static_cast<int32_t>(k));
    CHORALE_RETURN_IF_ERROR(CheckFloat(kSampleTemperature, k, p.temperature, 0, kFloatMax));
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kSampleTopK), k, p.top_k, 0, int64_t{1} << 31));
    CHORALE_RETURN_IF_ERROR(CheckFloat(kSampleTopP, k, p.top_p, 0, 1, false));
    CHORALE_RETURN_IF_ERROR(CheckFloat(kSampleMinP, k, p.min_p, 0, 1));
    CHORALE_RETURN_IF_ERROR(CheckFloat(kSampleRepetition, k, p.repetition, 0, kFloatMax, false));
    CHORALE_RETURN_IF_ERROR(CheckFloat(kSamplePresence, k, p.presence, -kFloatMax, kFloatMax));
    CHORALE_RETURN_IF_ERROR(CheckFloat(kSampleFrequency, k, p.frequency, -kFloatMax, kFloatMax));
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kSampleTopLogprobs), k, p.top_logprobs, -1, int64_t{limits.top_logprobs_max} + 1));
    if (p.HasPenalties() && seq_scratch()[sequence] < 0) {
      return Status::Invalid(Format("section seq_scratch[%lld]: is -1, but sample %lld has penalties", Wide(sequence),
                                    Wide(k)));
    }
    int32_t mask = sample_mask()[k];
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kSampleMask), k, mask, -1, int64_t{1} << 31));
    if (mask >= 0 && !expects_late()) {
      return Status::Invalid(Format("section sample_mask[%lld]: mask %d without the late flag", Wide(k), mask));
    }
  }
  CHORALE_RETURN_IF_ERROR(
      CheckAtMost(Name(kHiddenRows), static_cast<int64_t>(hidden_rows().size()), limits.rows_max, "rows_max"));
  for (size_t i = 0; i < hidden_rows().size(); ++i) {
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kHiddenRows), static_cast<int64_t>(i), hidden_rows()[i], 0, rows()));
  }
  return Status::Ok();
}

Status StepView::CheckMoves(const StepLimits& limits) const {
  auto page_refs = static_cast<int64_t>(move_pages().size());
  for (int64_t i = 0; i < page_refs; ++i) {
    CHORALE_RETURN_IF_ERROR(CheckRange(Name(kMovePages), i, move_pages()[i], 0, limits.page_count));
  }
  int64_t exported_pages = 0;
  for (int64_t m = 0; m < static_cast<int64_t>(moves().size()); ++m) {
    const Move& move = moves()[m];
    auto refuse = [m](const std::string& what) {
      return Status::Invalid(Format("section moves[%lld]: %s", Wide(m), what.c_str()));
    };
    if (move.reserved != 0) return refuse(Format("reserved is %d, not 0", move.reserved));
    if (move.first < 0 || move.count < 0 || int64_t{move.first} + move.count > page_refs) {
      return refuse(Format("pages [%d, +%d) are outside move_pages' %lld", move.first, move.count, Wide(page_refs)));
    }
    bool uses_slot = move.kind == kMoveLoad || move.kind == kMoveDrop || move.kind == kMoveMerge;
    if (uses_slot && (move.slot < 0 || move.slot >= limits.slots_max)) {
      return refuse(Format("slot %d is outside [0, %d)", move.slot, limits.slots_max));
    }
    switch (move.kind) {
      case kMoveLoad:
        if (move.a < 0 || move.a >= move.b || move.b > limits.layer_groups) {
          return refuse(Format("LOAD of layer groups [%d, %d) of %d", move.a, move.b, limits.layer_groups));
        }
        if (move.a == 0 && move.count == 0) return refuse("the first LOAD of a slot names no pages");
        if (move.handle <= 0) return refuse(Format("LOAD of handle %lld", Wide(move.handle)));
        break;
      case kMoveDrop:
      case kMoveUnmerge:
        break;
      case kMoveCopyPage:
        if (move.count != 2) return refuse(Format("COPY_PAGE names %d pages, not 2", move.count));
        if (PagesOf(move)[0] == PagesOf(move)[1]) {
          return refuse(Format("COPY_PAGE of page %d onto itself", PagesOf(move)[0]));
        }
        break;
      case kMoveExportPages:
        if (move.count == 0) return refuse("EXPORT_PAGES of no pages");
        exported_pages += move.count;
        if (exported_pages > limits.page_count) {
          return refuse(Format("the step exports more than the pool's %d pages", limits.page_count));
        }
        break;
      case kMoveImportPages: {
        if (move.count == 0) return refuse("IMPORT_PAGES of no pages");
        auto available = static_cast<int64_t>(move_bytes().size());
        if (move.handle < 0 || move.handle > available || move.count > (available - move.handle) / limits.page_bytes) {
          return refuse(Format("IMPORT_PAGES of %d pages of %lld bytes at byte %lld, but move_bytes has %lld",
                               move.count, Wide(limits.page_bytes), Wide(move.handle), Wide(available)));
        }
        break;
      }
      case kMoveMerge:
        if (!std::isfinite(move.scale)) return refuse(Format("MERGE with scale %g", static_cast<double>(move.scale)));
        break;
      case kMoveResetSequence:
        if (move.a < 0 || move.a >= limits.scratch_max) {
          return refuse(Format("RESET_SEQUENCE of scratch slot %d outside [0, %d)", move.a, limits.scratch_max));
        }
        break;
      default:
        return refuse(Format("unknown kind %d", move.kind));
    }
  }
  return Status::Ok();
}

SampleParams StepView::ParamsOf(int32_t k) const {
  SampleParams params;
  params.temperature = Section<float>(kSampleTemperature)[k];
  params.top_k = Section<int32_t>(kSampleTopK)[k];
  params.top_p = Section<float>(kSampleTopP)[k];
  params.min_p = Section<float>(kSampleMinP)[k];
  params.repetition = Section<float>(kSampleRepetition)[k];
  params.presence = Section<float>(kSamplePresence)[k];
  params.frequency = Section<float>(kSampleFrequency)[k];
  params.seed = Section<int64_t>(kSampleSeed)[k];
  params.top_logprobs = Section<int32_t>(kSampleTopLogprobs)[k];
  return params;
}

}  // namespace chorale
