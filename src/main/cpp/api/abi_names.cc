#include "api/abi_names.h"

#include <cstddef>

#include "base/status.h"
#include "chorale/image_abi.h"
#include "chorale/step_abi.h"

namespace chorale {

std::string DescribeAbi() {
  std::string text;
  const auto line = [&text](const char* name, long long value) { text += Format("%s=%lld\n", name, value); };
#define NAME(name) line(#name, name);
#define STRUCT(type) line("sizeof." #type, sizeof(type));
#define FIELD(type, field) line("offsetof." #type "." #field, offsetof(type, field));
  NAME(kAbiVersion) NAME(kStepMagic) NAME(kLateMagic) NAME(kResultMagic) NAME(kSectionAlign) NAME(kStepLate)
  NAME(kUnmerged) NAME(kMerged) NAME(kTokenIds) NAME(kPositions) NAME(kSeqTokenStart) NAME(kSeqContext)
  NAME(kSeqPrompt) NAME(kSeqPageStart) NAME(kPageIds) NAME(kSeqScratch) NAME(kSegmentStart) NAME(kSegmentSlotStart)
  NAME(kSegmentSlots) NAME(kSegmentScales) NAME(kSampleRow) NAME(kSampleTemperature) NAME(kSampleTopK)
  NAME(kSampleTopP) NAME(kSampleMinP) NAME(kSampleRepetition) NAME(kSamplePresence) NAME(kSampleFrequency)
  NAME(kSampleSeed) NAME(kSampleTopLogprobs) NAME(kSampleMask) NAME(kHiddenRows) NAME(kMoves) NAME(kMovePages)
  NAME(kMoveBytes) NAME(kStepSections) NAME(kMoveLoad) NAME(kMoveDrop) NAME(kMoveCopyPage) NAME(kMoveExportPages)
  NAME(kMoveImportPages) NAME(kMoveMerge) NAME(kMoveUnmerge) NAME(kMoveResetSequence) NAME(kMaskBits) NAME(kBiasStart)
  NAME(kBiasIds) NAME(kBiasValues) NAME(kLateSections) NAME(kDrawnIds) NAME(kDrawnLogprobs) NAME(kTopStart)
  NAME(kTopIds) NAME(kTopLogprobs) NAME(kHidden) NAME(kCompletedLoads) NAME(kPageBytes) NAME(kPhaseNanos)
  NAME(kFaultText) NAME(kResultSections) NAME(kPhaseMoves) NAME(kPhaseForward) NAME(kPhaseSample) NAME(kPhaseTotal)
  NAME(kPhases)
  STRUCT(SectionEntry) FIELD(SectionEntry, offset) FIELD(SectionEntry, count)
  STRUCT(StepHeader) FIELD(StepHeader, magic) FIELD(StepHeader, abi_version) FIELD(StepHeader, total_bytes)
  FIELD(StepHeader, step_id) FIELD(StepHeader, flags) FIELD(StepHeader, section_count) FIELD(StepHeader, weight_mode)
  FIELD(StepHeader, merged_slot) FIELD(StepHeader, reserved)
  STRUCT(Move) FIELD(Move, kind) FIELD(Move, slot) FIELD(Move, first) FIELD(Move, count) FIELD(Move, a) FIELD(Move, b)
  FIELD(Move, handle) FIELD(Move, scale) FIELD(Move, reserved)
  STRUCT(LateHeader) FIELD(LateHeader, magic) FIELD(LateHeader, abi_version) FIELD(LateHeader, total_bytes)
  FIELD(LateHeader, step_id) FIELD(LateHeader, section_count) FIELD(LateHeader, mask_count)
  STRUCT(ResultHeader) FIELD(ResultHeader, magic) FIELD(ResultHeader, abi_version) FIELD(ResultHeader, total_bytes)
  FIELD(ResultHeader, step_id) FIELD(ResultHeader, status) FIELD(ResultHeader, section_count)
  NAME(kManifestMagic) NAME(kPackMagic) NAME(kManifestVersion) NAME(kDataAlign) NAME(kNoFile) NAME(kModelManifest)
  NAME(kAdapterManifest) NAME(kF32) NAME(kF16) NAME(kBF16) NAME(kQ) NAME(kK) NAME(kV) NAME(kO) NAME(kGate) NAME(kUp)
  NAME(kDown) NAME(kTargets) NAME(kRoleEmbed) NAME(kRoleHead) NAME(kRoleFinalNorm) NAME(kRoleAttnNorm)
  NAME(kRoleMlpNorm) NAME(kRoleQNorm) NAME(kRoleKNorm) NAME(kRoleWeight) NAME(kRoleBias) NAME(kRoleLoraA)
  NAME(kRoleLoraB) NAME(kRoleMagnitude) NAME(kRoleHeadA) NAME(kRoleHeadB) NAME(kRoleEmbedA) NAME(kRoleEmbedB)
  STRUCT(ManifestHeader) FIELD(ManifestHeader, magic) FIELD(ManifestHeader, version) FIELD(ManifestHeader, total_bytes)
  FIELD(ManifestHeader, crc) FIELD(ManifestHeader, kind) FIELD(ManifestHeader, spec_offset)
  FIELD(ManifestHeader, inv_freq_offset) FIELD(ManifestHeader, window_offset) FIELD(ManifestHeader, files_offset)
  FIELD(ManifestHeader, spans_offset) FIELD(ManifestHeader, text_offset) FIELD(ManifestHeader, file_count)
  FIELD(ManifestHeader, span_count) FIELD(ManifestHeader, text_bytes)
  STRUCT(ModelSpec) FIELD(ModelSpec, layers) FIELD(ModelSpec, hidden) FIELD(ModelSpec, intermediate)
  FIELD(ModelSpec, heads) FIELD(ModelSpec, kv_heads) FIELD(ModelSpec, head_dim) FIELD(ModelSpec, vocab)
  FIELD(ModelSpec, context_max) FIELD(ModelSpec, rotary_dims) FIELD(ModelSpec, tied) FIELD(ModelSpec, qk_norm)
  FIELD(ModelSpec, reserved) FIELD(ModelSpec, rms_eps) FIELD(ModelSpec, rope_magnitude)
  FIELD(ModelSpec, attention_scale) FIELD(ModelSpec, reserved2)
  STRUCT(FileEntry) FIELD(FileEntry, path_offset) FIELD(FileEntry, path_bytes) FIELD(FileEntry, file_bytes)
  STRUCT(SpanEntry) FIELD(SpanEntry, role) FIELD(SpanEntry, layer) FIELD(SpanEntry, dtype) FIELD(SpanEntry, file)
  FIELD(SpanEntry, offset) FIELD(SpanEntry, bytes) FIELD(SpanEntry, rows) FIELD(SpanEntry, cols)
  FIELD(SpanEntry, scale) FIELD(SpanEntry, crc)
  STRUCT(PackHeader) FIELD(PackHeader, magic) FIELD(PackHeader, version) FIELD(PackHeader, file_bytes)
  FIELD(PackHeader, crc) FIELD(PackHeader, count) FIELD(PackHeader, text_offset) FIELD(PackHeader, text_bytes)
  STRUCT(PackEntry) FIELD(PackEntry, kind) FIELD(PackEntry, reserved) FIELD(PackEntry, name_offset)
  FIELD(PackEntry, name_bytes) FIELD(PackEntry, manifest_offset) FIELD(PackEntry, manifest_bytes)
#undef NAME
#undef STRUCT
#undef FIELD
  return text;
}

}  // namespace chorale
