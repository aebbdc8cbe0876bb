package io.chorale.engine.jni;

import io.chorale.core.sched.StepPlan;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The layout of {@code chorale/step_abi.h}: magics, sizes, section numbers. Compared with the library's own when it is
 * loaded, so that a Java and a C++ side of different versions never talk.
 */
final class StepLayout {
    static final int ABI_VERSION = 1;
    static final int STEP_MAGIC = 0x50545343;
    static final int LATE_MAGIC = 0x54414c43;
    static final int RESULT_MAGIC = 0x53455243;
    static final int SECTION_ALIGN = 16;
    static final int SECTION_ENTRY_BYTES = 16;
    static final int STEP_HEADER_BYTES = 48;
    static final int LATE_HEADER_BYTES = 32;
    static final int RESULT_HEADER_BYTES = 32;
    static final int MOVE_BYTES = 40;
    static final int STEP_LATE = 1;
    static final int UNMERGED = 0;
    static final int MERGED = 1;

    static final int TOKEN_IDS = 0;
    static final int POSITIONS = 1;
    static final int SEQ_TOKEN_START = 2;
    static final int SEQ_CONTEXT = 3;
    static final int SEQ_PROMPT = 4;
    static final int SEQ_PAGE_START = 5;
    static final int PAGE_IDS = 6;
    static final int SEQ_SCRATCH = 7;
    static final int SEGMENT_START = 8;
    static final int SEGMENT_SLOT_START = 9;
    static final int SEGMENT_SLOTS = 10;
    static final int SEGMENT_SCALES = 11;
    static final int SAMPLE_ROW = 12;
    static final int SAMPLE_TEMPERATURE = 13;
    static final int SAMPLE_TOP_K = 14;
    static final int SAMPLE_TOP_P = 15;
    static final int SAMPLE_MIN_P = 16;
    static final int SAMPLE_REPETITION = 17;
    static final int SAMPLE_PRESENCE = 18;
    static final int SAMPLE_FREQUENCY = 19;
    static final int SAMPLE_SEED = 20;
    static final int SAMPLE_TOP_LOGPROBS = 21;
    static final int SAMPLE_MASK = 22;
    static final int HIDDEN_ROWS = 23;
    static final int MOVES = 24;
    static final int MOVE_PAGES = 25;
    static final int MOVE_BYTES_SECTION = 26;
    static final int STEP_SECTIONS = 27;

    static final int MASK_BITS = 0;
    static final int BIAS_START = 1;
    static final int BIAS_IDS = 2;
    static final int BIAS_VALUES = 3;
    static final int LATE_SECTIONS = 4;

    static final int DRAWN_IDS = 0;
    static final int DRAWN_LOGPROBS = 1;
    static final int TOP_START = 2;
    static final int TOP_IDS = 3;
    static final int TOP_LOGPROBS = 4;
    static final int HIDDEN = 5;
    static final int COMPLETED_LOADS = 6;
    static final int PAGE_BYTES = 7;
    static final int PHASE_NANOS = 8;
    static final int FAULT_TEXT = 9;
    static final int RESULT_SECTIONS = 10;
    static final int PHASES = 4;

    /** Every number above, and every field's place that encoder and decoder rely on, by the library's name for it. */
    static final Map<String, Integer> EXPECTED = Map.ofEntries(
            Map.entry("kAbiVersion", ABI_VERSION),
            Map.entry("kStepMagic", STEP_MAGIC),
            Map.entry("kLateMagic", LATE_MAGIC),
            Map.entry("kResultMagic", RESULT_MAGIC),
            Map.entry("kSectionAlign", SECTION_ALIGN),
            Map.entry("sizeof.SectionEntry", SECTION_ENTRY_BYTES),
            Map.entry("sizeof.StepHeader", STEP_HEADER_BYTES),
            Map.entry("sizeof.LateHeader", LATE_HEADER_BYTES),
            Map.entry("sizeof.ResultHeader", RESULT_HEADER_BYTES),
            Map.entry("sizeof.Move", MOVE_BYTES),
            Map.entry("kStepLate", STEP_LATE),
            Map.entry("kUnmerged", UNMERGED),
            Map.entry("kMerged", MERGED),
            Map.entry("kTokenIds", TOKEN_IDS),
            Map.entry("kPositions", POSITIONS),
            Map.entry("kSeqTokenStart", SEQ_TOKEN_START),
            Map.entry("kSeqContext", SEQ_CONTEXT),
            Map.entry("kSeqPrompt", SEQ_PROMPT),
            Map.entry("kSeqPageStart", SEQ_PAGE_START),
            Map.entry("kPageIds", PAGE_IDS),
            Map.entry("kSeqScratch", SEQ_SCRATCH),
            Map.entry("kSegmentStart", SEGMENT_START),
            Map.entry("kSegmentSlotStart", SEGMENT_SLOT_START),
            Map.entry("kSegmentSlots", SEGMENT_SLOTS),
            Map.entry("kSegmentScales", SEGMENT_SCALES),
            Map.entry("kSampleRow", SAMPLE_ROW),
            Map.entry("kSampleTemperature", SAMPLE_TEMPERATURE),
            Map.entry("kSampleTopK", SAMPLE_TOP_K),
            Map.entry("kSampleTopP", SAMPLE_TOP_P),
            Map.entry("kSampleMinP", SAMPLE_MIN_P),
            Map.entry("kSampleRepetition", SAMPLE_REPETITION),
            Map.entry("kSamplePresence", SAMPLE_PRESENCE),
            Map.entry("kSampleFrequency", SAMPLE_FREQUENCY),
            Map.entry("kSampleSeed", SAMPLE_SEED),
            Map.entry("kSampleTopLogprobs", SAMPLE_TOP_LOGPROBS),
            Map.entry("kSampleMask", SAMPLE_MASK),
            Map.entry("kHiddenRows", HIDDEN_ROWS),
            Map.entry("kMoves", MOVES),
            Map.entry("kMovePages", MOVE_PAGES),
            Map.entry("kMoveBytes", MOVE_BYTES_SECTION),
            Map.entry("kStepSections", STEP_SECTIONS),
            Map.entry("kMaskBits", MASK_BITS),
            Map.entry("kBiasStart", BIAS_START),
            Map.entry("kBiasIds", BIAS_IDS),
            Map.entry("kBiasValues", BIAS_VALUES),
            Map.entry("kLateSections", LATE_SECTIONS),
            Map.entry("kDrawnIds", DRAWN_IDS),
            Map.entry("kDrawnLogprobs", DRAWN_LOGPROBS),
            Map.entry("kTopStart", TOP_START),
            Map.entry("kTopIds", TOP_IDS),
            Map.entry("kTopLogprobs", TOP_LOGPROBS),
            Map.entry("kHidden", HIDDEN),
            Map.entry("kCompletedLoads", COMPLETED_LOADS),
            Map.entry("kPageBytes", PAGE_BYTES),
            Map.entry("kPhaseNanos", PHASE_NANOS),
            Map.entry("kFaultText", FAULT_TEXT),
            Map.entry("kResultSections", RESULT_SECTIONS),
            Map.entry("kPhases", PHASES),
            Map.entry("kMoveLoad", StepPlan.MOVE_LOAD),
            Map.entry("kMoveDrop", StepPlan.MOVE_DROP),
            Map.entry("kMoveCopyPage", StepPlan.MOVE_COPY_PAGE),
            Map.entry("kMoveExportPages", StepPlan.MOVE_EXPORT_PAGES),
            Map.entry("kMoveImportPages", StepPlan.MOVE_IMPORT_PAGES),
            Map.entry("kMoveMerge", StepPlan.MOVE_MERGE),
            Map.entry("kMoveUnmerge", StepPlan.MOVE_UNMERGE),
            Map.entry("kMoveResetSequence", StepPlan.MOVE_RESET_SEQUENCE),
            Map.entry("offsetof.SectionEntry.offset", 0),
            Map.entry("offsetof.SectionEntry.count", 8),
            Map.entry("offsetof.StepHeader.magic", 0),
            Map.entry("offsetof.StepHeader.abi_version", 4),
            Map.entry("offsetof.StepHeader.total_bytes", 8),
            Map.entry("offsetof.StepHeader.step_id", 16),
            Map.entry("offsetof.StepHeader.flags", 24),
            Map.entry("offsetof.StepHeader.section_count", 28),
            Map.entry("offsetof.StepHeader.weight_mode", 32),
            Map.entry("offsetof.StepHeader.merged_slot", 36),
            Map.entry("offsetof.StepHeader.reserved", 40),
            Map.entry("offsetof.LateHeader.magic", 0),
            Map.entry("offsetof.LateHeader.abi_version", 4),
            Map.entry("offsetof.LateHeader.total_bytes", 8),
            Map.entry("offsetof.LateHeader.step_id", 16),
            Map.entry("offsetof.LateHeader.section_count", 24),
            Map.entry("offsetof.LateHeader.mask_count", 28),
            Map.entry("offsetof.ResultHeader.magic", 0),
            Map.entry("offsetof.ResultHeader.abi_version", 4),
            Map.entry("offsetof.ResultHeader.total_bytes", 8),
            Map.entry("offsetof.ResultHeader.step_id", 16),
            Map.entry("offsetof.ResultHeader.status", 24),
            Map.entry("offsetof.ResultHeader.section_count", 28),
            Map.entry("offsetof.Move.kind", 0),
            Map.entry("offsetof.Move.slot", 4),
            Map.entry("offsetof.Move.first", 8),
            Map.entry("offsetof.Move.count", 12),
            Map.entry("offsetof.Move.a", 16),
            Map.entry("offsetof.Move.b", 20),
            Map.entry("offsetof.Move.handle", 24),
            Map.entry("offsetof.Move.scale", 32),
            Map.entry("offsetof.Move.reserved", 36));

    private StepLayout() {}

    /** What differs from the library's own description, one sentence each. */
    static List<String> differences(Map<String, Long> described) {
        List<String> differences = new ArrayList<>();
        new TreeMap<>(EXPECTED).forEach((name, value) -> {
            Long found = described.get(name);
            if (found == null || found != value.longValue()) {
                differences.add(name + " is " + value + " here, but " + (found == null ? "unknown" : found)
                        + " in the library");
            }
        });
        return differences;
    }
}
