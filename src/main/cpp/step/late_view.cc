#include <algorithm>
#include <cmath>

#include "step/section_table.h"
#include "step/step_view.h"

namespace chorale {
namespace {

constexpr std::array<SectionShape, kLateSections> kShapes = {{
    {"mask_bits", 4},
    {"bias_start", 4},
    {"bias_ids", 4},
    {"bias_values", 4},
}};

long long Wide(int64_t value) { return value; }

int64_t MaskWords(int32_t vocab) { return (int64_t{vocab} + 31) / 32; }

bool AllowsSomething(std::span<const uint32_t> mask, int32_t vocab) {
  uint32_t last_bits = vocab % 32 == 0 ? ~uint32_t{0} : (uint32_t{1} << (vocab % 32)) - 1;  // beyond V nothing counts
  return std::any_of(mask.begin(), mask.end() - 1, [](uint32_t word) { return word != 0; }) ||
         (mask.back() & last_bits) != 0;
}

}  // namespace

Result<LateView> LateView::Parse(std::span<const uint8_t> buffer, const StepView& step, int32_t vocab) {
  if (buffer.size() < sizeof(LateHeader)) {
    return Status::Invalid(
        Format("late: %zu bytes are less than the header's %zu", buffer.size(), sizeof(LateHeader)));
  }
  if (reinterpret_cast<uintptr_t>(buffer.data()) % kSectionAlign != 0) {
    return Status::Invalid(Format("late: the buffer's address is not a multiple of %d", kSectionAlign));
  }
  LateView view(buffer, vocab);
  const LateHeader& h = view.header();
  if (h.magic != kLateMagic) return Status::Invalid(Format("late: magic is %#x, not %#x", h.magic, kLateMagic));
  if (h.abi_version != kAbiVersion) {
    return Status::Invalid(Format("late: ABI version is %d, not %d", h.abi_version, kAbiVersion));
  }
  if (h.total_bytes != static_cast<int64_t>(buffer.size())) {
    return Status::Invalid(
        Format("late: total_bytes is %lld, but the buffer has %zu", Wide(h.total_bytes), buffer.size()));
  }
  if (h.section_count != kLateSections) {
    return Status::Invalid(Format("late: section_count is %d, not %d", h.section_count, kLateSections));
  }
  if (!step.expects_late()) {
    return Status::Invalid(Format("late: step %lld does not expect one", Wide(step.step_id())));
  }
  if (h.step_id != step.step_id()) {
    return Status::Invalid(
        Format("late: is for step %lld, but step %lld waits for it", Wide(h.step_id), Wide(step.step_id())));
  }
  CHORALE_RETURN_IF_ERROR(ReadSections("late", buffer, sizeof(LateHeader), kShapes, view.sections_));
  CHORALE_RETURN_IF_ERROR(view.CheckMasks(step));
  CHORALE_RETURN_IF_ERROR(view.CheckBias(step));
  return view;
}

Status LateView::CheckMasks(const StepView& step) const {
  if (masks() < 0) return Status::Invalid(Format("late: mask_count is %d", masks()));
  CHORALE_RETURN_IF_ERROR(CheckCount(kShapes[kMaskBits].name, sections_[kMaskBits].count,
                                     masks() * MaskWords(vocab_), "mask_count * ceil(V/32)"));
  for (int32_t m = 0; m < masks(); ++m) {
    if (!AllowsSomething(Mask(m), vocab_)) {
      return Status::Invalid(Format("section mask_bits: mask %d allows no token", m));
    }
  }
  for (size_t k = 0; k < step.sample_mask().size(); ++k) {
    if (step.sample_mask()[k] >= masks()) {
      return Status::Invalid(Format("section sample_mask[%zu]: mask %d, but the late buffer has %d", k,
                                    step.sample_mask()[k], masks()));
    }
  }
  return Status::Ok();
}

Status LateView::CheckBias(const StepView& step) const {
  auto ids = Section<int32_t>(kBiasIds);
  auto values = Section<float>(kBiasValues);
  auto count = static_cast<int64_t>(ids.size());
  CHORALE_RETURN_IF_ERROR(
      CheckCount(kShapes[kBiasValues].name, static_cast<int64_t>(values.size()), count, "bias_ids"));
  auto start = Section<int32_t>(kBiasStart);
  if (start.empty() && count == 0) return Status::Ok();
  CHORALE_RETURN_IF_ERROR(CheckStarts(kShapes[kBiasStart].name, start, step.samples(), count, "bias_ids", 0));
  for (int64_t i = 0; i < count; ++i) {
    CHORALE_RETURN_IF_ERROR(CheckRange(kShapes[kBiasIds].name, i, ids[i], 0, vocab_));
    if (std::isnan(values[i]) || values[i] == INFINITY) {
      return Status::Invalid(
          Format("section bias_values[%lld]: %g is neither finite nor -inf", Wide(i), static_cast<double>(values[i])));
    }
  }
  return Status::Ok();
}

std::span<const uint32_t> LateView::Mask(int32_t index) const {
  return Section<uint32_t>(kMaskBits).subspan(index * MaskWords(vocab_), MaskWords(vocab_));
}

std::span<const int32_t> LateView::BiasIds(int32_t sample) const {
  auto start = Section<int32_t>(kBiasStart);
  if (start.empty()) return {};
  return Section<int32_t>(kBiasIds).subspan(start[sample], start[sample + 1] - start[sample]);
}

std::span<const float> LateView::BiasValues(int32_t sample) const {
  auto start = Section<int32_t>(kBiasStart);
  if (start.empty()) return {};
  return Section<float>(kBiasValues).subspan(start[sample], start[sample + 1] - start[sample]);
}

}  // namespace chorale
