// Throws mutated step and late buffers at their parsers and the slot ledger. What is accepted is read to its end and
// held to the promises that the engine relies on.
#include <numeric>

#include "fuzz/mutator.h"
#include "step/slot_ledger.h"
#include "step/step_view.h"
#include "testing/step_builder.h"

namespace chorale {
namespace {

using fuzz::Mutator;
using fuzz::Require;
using testing::LateBuilder;
using testing::StepBuilder;

StepLimits Limits(Mutator& mutator) {
  StepLimits limits;
  limits.page_count = 40;
  limits.page_tokens = 4;
  limits.page_bytes = 32;
  limits.vocab = 45;
  limits.context_max = 64;
  limits.window_max = mutator.OneIn(2) ? 0 : 8;
  limits.layer_groups = 2;
  limits.slots_max = 5;
  limits.scratch_max = 4;
  limits.rows_max = 32;
  limits.sequences_max = 6;
  limits.samples_max = 8;
  limits.top_logprobs_max = limits.vocab;
  limits.previous_samples = static_cast<int32_t>(mutator.Below(4)) - 1;
  return limits;
}

StepBuilder ValidStep(Mutator& mutator, const StepLimits& limits) {
  StepBuilder step;
  step.Id(static_cast<int64_t>(mutator.Below(1000)));
  if (mutator.OneIn(2)) step.Late();
  std::vector<int32_t> pages(limits.page_count);
  std::iota(pages.begin(), pages.end(), 0);
  for (size_t i = pages.size() - 1; i > 0; --i) std::swap(pages[i], pages[mutator.Below(i + 1)]);
  auto take = [&pages](size_t count) {
    std::vector<int32_t> taken(pages.end() - static_cast<int64_t>(count), pages.end());
    pages.resize(pages.size() - count);
    return taken;
  };
  if (mutator.OneIn(3)) step.Load(1, 5, take(2), 0, 2);
  if (mutator.OneIn(4)) step.CopyPage(pages[0], take(1)[0]);
  if (mutator.OneIn(4)) step.Export({pages[1], pages[2]});
  if (mutator.OneIn(4)) step.Import(take(1), std::vector<uint8_t>(limits.page_bytes));
  if (mutator.OneIn(4)) step.Reset(static_cast<int32_t>(mutator.Below(limits.scratch_max)));
  bool loads = !step.moves.empty() && step.moves[0].kind == kMoveLoad;
  if (loads && mutator.OneIn(3)) step.Merge(1).Merged(1);
  uint64_t sequences = mutator.Below(4);
  for (uint64_t s = 0; s < sequences; ++s) {
    std::vector<int32_t> ids(1 + mutator.Below(6));
    for (int32_t& id : ids) id = static_cast<int32_t>(mutator.Below(limits.vocab));
    if (limits.previous_samples > 0 && mutator.OneIn(2)) {
      ids.back() = -1 - static_cast<int32_t>(mutator.Below(limits.previous_samples));
    }
    auto first = static_cast<int32_t>(mutator.Below(25));
    size_t needed = (first + ids.size() + limits.page_tokens - 1) / limits.page_tokens;
    std::vector<int32_t> own = take(needed);
    for (size_t i = 0; i < own.size() && limits.window_max > 0 && !mutator.OneIn(4); ++i) {
      if ((static_cast<int32_t>(i) + 1) * limits.page_tokens > first - limits.window_max + 1) break;
      own[i] = -1;
    }
    step.Sequence(ids, first, own, static_cast<int32_t>(mutator.Below(20)), static_cast<int32_t>(s));
    if (loads && mutator.OneIn(2)) {
      step.Segment({{1, 0.5f}});
    } else {
      step.Segment();
    }
    if (step.sample_row.size() < 6) step.Sample({.temperature = 1, .presence = 1, .top_logprobs = 2});
    if (mutator.OneIn(3)) step.Sample({.top_k = 4}, -1, (step.header.flags & kStepLate) != 0 ? 0 : -1);
  }
  if (step.token_ids.size() > 2) step.hidden_rows = {0, 2};
  return step;
}

// Lies in one entry of the section table, or in one element of one section.
void LieInStructure(Mutator& mutator, std::vector<uint8_t>& bytes, size_t header_bytes, size_t sections) {
  size_t entry_at = header_bytes + mutator.Below(sections) * sizeof(SectionEntry);
  if (entry_at + sizeof(SectionEntry) > bytes.size()) return;
  if (mutator.OneIn(4)) {
    mutator.Lie(bytes, entry_at + (mutator.OneIn(2) ? 0 : 8), 8);
    return;
  }
  SectionEntry entry;
  std::memcpy(&entry, bytes.data() + entry_at, sizeof(entry));
  if (entry.count <= 0 || entry.offset < 0 || entry.offset >= static_cast<int64_t>(bytes.size())) return;
  size_t element = mutator.Below(static_cast<uint64_t>(std::min<int64_t>(entry.count, 64)));
  mutator.Lie(bytes, entry.offset + element * 4, 4);
}

void Mutate(Mutator& mutator, std::vector<uint8_t>& bytes, size_t header_bytes, size_t sections) {
  uint64_t rounds = mutator.Below(4);
  for (uint64_t i = 0; i < rounds; ++i) {
    if (mutator.OneIn(3)) {
      mutator.Blind(bytes);
    } else if (mutator.OneIn(6)) {
      mutator.Lie(bytes, mutator.Below(header_bytes / 4) * 4, 4);
    } else {
      LieInStructure(mutator, bytes, header_bytes, sections);
    }
  }
  // Both headers have the size at the same place; mended as a rule, so that the rest is looked at.
  static_assert(offsetof(StepHeader, total_bytes) == offsetof(LateHeader, total_bytes));
  auto size = static_cast<int64_t>(bytes.size());
  if (bytes.size() >= header_bytes && !mutator.OneIn(20)) {
    std::memcpy(bytes.data() + offsetof(StepHeader, total_bytes), &size, sizeof(size));
  }
}

// Reads all that the engine will read, by the counts that it will use.
void ReadStep(const StepView& step, const StepLimits& limits) {
  Require(step.rows() <= limits.rows_max && step.sequences() <= limits.sequences_max, "rows and sequences are bounded");
  std::vector<int32_t> writer(limits.page_count, -1);
  int32_t covered = 0;
  for (int32_t s = 0; s < step.sequences(); ++s) {
    auto pages = step.PagesOf(s);
    for (int32_t t = step.seq_token_start()[s]; t < step.seq_token_start()[s + 1]; ++t, ++covered) {
      int32_t id = step.token_ids()[t];
      Require(id < limits.vocab && -(int64_t{id} + 1) < std::max(limits.previous_samples, 0), "token ids are in range");
      int32_t position = step.positions()[t];
      Require(position >= 0 && position < limits.context_max, "positions are in range");
      int32_t page = pages[position / limits.page_tokens];
      Require(page >= 0 && page < limits.page_count, "a row is written to a page");
      Require(writer[page] == -1 || writer[page] == s, "a page is written by one sequence");
      writer[page] = s;
      int32_t first_seen = limits.window_max > 0 ? std::max(0, position - limits.window_max + 1) : 0;
      for (int32_t p = first_seen; p <= position; ++p) {
        Require(pages[p / limits.page_tokens] >= 0, "what a row sees has a page");
      }
    }
    Require(step.seq_scratch()[s] < limits.scratch_max && step.seq_prompt()[s] >= 0, "scratch slots are in range");
  }
  for (int32_t s = 0; s < step.sequences(); ++s) {
    for (int32_t page : step.PagesOf(s)) Require(page == -1 || writer[page] == -1 || writer[page] == s, "no shared write");
  }
  Require(covered == step.rows(), "sequences cover the rows");
  covered = 0;
  for (int32_t g = 0; g < step.segments(); ++g) {
    covered += step.segment_start()[g + 1] - step.segment_start()[g];
    for (int32_t i = step.segment_slot_start()[g]; i < step.segment_slot_start()[g + 1]; ++i) {
      Require(step.segment_slots()[i] >= 0 && step.segment_slots()[i] < limits.slots_max, "slots are in range");
      Require(step.segment_scales()[i] - step.segment_scales()[i] == 0, "scales are finite");
    }
  }
  Require(covered == step.rows(), "segments cover the rows");
  for (int32_t k = 0; k < step.samples(); ++k) {
    SampleParams params = step.ParamsOf(k);
    Require(step.sample_row()[k] >= 0 && step.sample_row()[k] < step.rows(), "sampled rows are in range");
    Require(params.temperature >= 0 && params.top_p > 0 && params.top_p <= 1 && params.top_k >= 0, "parameters");
    Require(params.top_logprobs <= limits.top_logprobs_max, "top_logprobs is bounded");
  }
  for (int32_t row : step.hidden_rows()) Require(row >= 0 && row < step.rows(), "hidden rows are in range");
  int64_t sum = 0;
  for (const Move& move : step.moves()) {
    for (int32_t page : step.PagesOf(move)) Require(page >= 0 && page < limits.page_count, "moves' pages are in range");
    if (move.kind == kMoveImportPages) {
      for (uint8_t byte : step.move_bytes().subspan(move.handle, move.count * limits.page_bytes)) sum += byte;
    }
  }
  Require(sum >= 0, "imported bytes are there");
}

void ReadLate(const LateView& late, const StepView& step, const StepLimits& limits) {
  for (int32_t k = 0; k < step.samples(); ++k) {
    Require(late.BiasIds(k).size() == late.BiasValues(k).size(), "a value for each id");
    for (int32_t id : late.BiasIds(k)) Require(id >= 0 && id < limits.vocab, "biased tokens are in range");
    if (int32_t mask = step.sample_mask()[k]; mask >= 0) {
      bool some = false;
      for (int32_t t = 0; t < limits.vocab; ++t) some |= (late.Mask(mask)[t / 32] >> (t % 32) & 1) != 0;
      Require(some, "a mask allows a token");
    }
  }
}

bool StepInput(Mutator& mutator) {
  StepLimits limits = Limits(mutator);
  std::vector<uint8_t> bytes = ValidStep(mutator, limits).Build();
  Mutate(mutator, bytes, sizeof(StepHeader), kStepSections);
  bytes.shrink_to_fit();  // so that one byte beyond the end is beyond the allocation
  auto step = StepView::Parse(bytes, limits);
  if (!step.ok()) {
    Require(step.status().code() == CH_INVALID_ARGUMENT && !step.status().message().empty(), "refusals say why");
    return false;
  }
  ReadStep(step.value(), limits);

  SlotLedger ledger(limits.slots_max, limits.page_count, limits.layer_groups);
  if (ledger.Advance(step.value()).ok()) {
    for (int32_t slot : step.value().segment_slots()) {
      Require(ledger.groups(slot) == limits.layer_groups, "used slots are resident");
    }
  }
  if (step.value().expects_late()) {
    LateBuilder builder(step.value().step_id(), limits.vocab);
    builder.Mask({static_cast<int32_t>(mutator.Below(limits.vocab))});
    for (int32_t k = 0; k < step.value().samples(); ++k) builder.Bias({{k, 1.0f}});
    std::vector<uint8_t> late_bytes = builder.Build();
    Mutate(mutator, late_bytes, sizeof(LateHeader), kLateSections);
    late_bytes.shrink_to_fit();
    auto late = LateView::Parse(late_bytes, step.value(), limits.vocab);
    if (late.ok()) ReadLate(late.value(), step.value(), limits);
  }
  return true;
}

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) { return chorale::fuzz::Run("step_view_fuzz", argc, argv, chorale::StepInput); }
