// The step buffer: everything the engine must know to run one step, and everything it answers.
//
// All three buffers (step, late, result) have the same shape: a fixed header, then a table with one entry per
// section of that buffer (offset from the buffer's start, element count), then the sections' data, each aligned to
// 16 bytes. Little-endian. A section that is absent has offset 0 and count 0. All counts are of elements.
//
// Symbols: T rows (tokens) of the step, S sequences, P page references, G segments, K sampled rows, M moves.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
namespace chorale {
#endif

enum : int32_t {
  kAbiVersion = 1,
  kStepMagic = 0x50545343,    // "CSTP"
  kLateMagic = 0x54414c43,    // "CLAT"
  kResultMagic = 0x53455243,  // "CRES"
  kSectionAlign = 16,
};

struct SectionEntry {
  int64_t offset;  // bytes from the start of the buffer; 0: absent
  int64_t count;   // elements
};

// ---- Step: Java to C++ --------------------------------------------------------------------------------------------

struct StepHeader {
  int32_t magic;
  int32_t abi_version;
  int64_t total_bytes;
  int64_t step_id;        // grows by one with every step
  int32_t flags;          // kStepLate | ...
  int32_t section_count;  // kStepSections
  int32_t weight_mode;    // kUnmerged | kMerged
  int32_t merged_slot;    // adapter slot whose shadow weights the base linears use; -1 when unmerged
  int64_t reserved;
};

enum StepFlag : int32_t {
  kStepLate = 1,  // a late buffer with the same step_id follows and must be there before sampling
};

enum WeightMode : int32_t { kUnmerged = 0, kMerged = 1 };

enum StepSection : int32_t {
  // rows; rows of one sequence are consecutive and in ascending position
  kTokenIds = 0,   // int32[T]  >= 0: the id; -(k+1): the id that sample k of the previous step (step_id - 1) drew
  kPositions,      // int32[T]
  // sequences
  kSeqTokenStart,   // int32[S+1]  rows of sequence s are [start[s], start[s+1])
  kSeqContext,      // int32[S]    tokens of s whose keys and values exist when the step has ended
  kSeqPrompt,       // int32[S]    tokens of s that are prompt; tokens at later positions count as output (penalties)
  kSeqPageStart,    // int32[S+1]
  kPageIds,         // int32[P]    page of tokens [i*page_tokens, (i+1)*page_tokens) of its sequence; -1: fell out of
                    //             every layer's attention window and will not be read
  kSeqScratch,      // int32[S]    slot of the token counts that penalties need; -1: none
  // adapters: consecutive rows that use one adapter set; segments cover all rows exactly once
  kSegmentStart,      // int32[G+1]
  kSegmentSlotStart,  // int32[G+1]
  kSegmentSlots,      // int32[]   adapter slots of the segment (may be none)
  kSegmentScales,     // float[]   factor on each slot's own scale (composition; -1 in mixture mode)
  // sampling: several sampled rows may belong to one sequence; each is independent
  kSampleRow,          // int32[K]  ascending
  kSampleTemperature,  // float[K]  0: greedy
  kSampleTopK,         // int32[K]  0: off
  kSampleTopP,         // float[K]  1: off
  kSampleMinP,         // float[K]  0: off
  kSampleRepetition,   // float[K]  1: off
  kSamplePresence,     // float[K]
  kSampleFrequency,    // float[K]
  kSampleSeed,         // int64[K]
  kSampleTopLogprobs,  // int32[K]  -1: no log-probability wanted; n >= 0: of the drawn token and the n best
                       //            (a device gives 20 at most)
  kSampleMask,         // int32[K]  index of the late buffer's mask for this row; -1: none
  kHiddenRows,         // int32[]   rows whose last hidden state (after the final norm) is wanted
  // moves, done in order before the forward pass (MERGE and LOAD may overlap earlier steps, never a reader)
  kMoves,      // Move[M]
  kMovePages,  // int32[]   page lists that moves refer to
  kMoveBytes,  // uint8[]   bytes that IMPORT_PAGES writes
  kStepSections
};

enum MoveKind : int32_t {
  kMoveLoad = 1,           // slot, pages[first, first+count), a = group_begin, b = group_end, handle = staged adapter
                           //   layer groups [a, b) of the adapter go to its pages; the first load names all pages
  kMoveDrop = 2,           // slot becomes free; its pages belong to Java again
  kMoveCopyPage = 3,       // pages[first] -> pages[first+1]
  kMoveExportPages = 4,    // pages[first, first+count) -> result section kPageBytes
  kMoveImportPages = 5,    // step section kMoveBytes (count * page_bytes, from byte handle) -> pages[first, first+count)
  kMoveMerge = 6,          // merged weights for slot: W + scale * s * B * A; becomes the merged slot
  kMoveUnmerge = 7,        // forget the merged weights
  kMoveResetSequence = 8,  // a = scratch slot: token counts become zero
};

struct Move {
  int32_t kind;
  int32_t slot;
  int32_t first;  // index into kMovePages
  int32_t count;
  int32_t a;
  int32_t b;
  int64_t handle;
  float scale;
  int32_t reserved;
};

// ---- Late: Java to C++, between begin and sampling -------------------------------------------------------------------

struct LateHeader {
  int32_t magic;
  int32_t abi_version;
  int64_t total_bytes;
  int64_t step_id;
  int32_t section_count;
  int32_t mask_count;
};

enum LateSection : int32_t {
  kMaskBits = 0,  // uint32[mask_count * ceil(V/32)]  bit set: the token is allowed
  kBiasStart,     // int32[K+1]
  kBiasIds,       // int32[]
  kBiasValues,    // float[]   added to the logit; -inf forbids the token
  kLateSections
};

// ---- Result: C++ to Java -------------------------------------------------------------------------------------------

struct ResultHeader {
  int32_t magic;
  int32_t abi_version;
  int64_t total_bytes;
  int64_t step_id;
  int32_t status;         // ch_status of the step; when not CH_OK only kFaultText is present
  int32_t section_count;  // kResultSections
};

enum ResultSection : int32_t {
  kDrawnIds = 0,     // int32[K]
  kDrawnLogprobs,    // float[K]   NaN where none was wanted; natural logarithm, of the distribution before
                     //            temperature and truncation, after penalties, bias and mask
  kTopStart,         // int32[K+1]
  kTopIds,           // int32[]    best first, ties by lower id
  kTopLogprobs,      // float[]
  kHidden,           // float[rows * H]
  kCompletedLoads,   // int32[2*]  pairs (slot, layer groups resident)
  kPageBytes,        // uint8[]    exported pages, in the order of the moves
  kPhaseNanos,       // int64[kPhases]  of a device's own clock where there is one, but for the moves
  kFaultText,        // uint8[]    UTF-8
  kResultSections
};

enum Phase : int32_t { kPhaseMoves = 0, kPhaseForward, kPhaseSample, kPhaseTotal, kPhases };

#ifdef __cplusplus
static_assert(sizeof(SectionEntry) == 16 && sizeof(StepHeader) == 48 && sizeof(LateHeader) == 32);
static_assert(sizeof(ResultHeader) == 32 && sizeof(Move) == 40);
}  // namespace chorale
#endif
