// What adapters do beside A and B of the layers' linears: gains of DoRA on the base's products, LoRA of the embedding and of
// the LM head, and a head of an adapter's own. Each is a pass of its own over the rows of a list, after the base's kernel
// and reading the adapter's pages; other rows are not touched. A step without such rows launches none of them.
#pragma once

#include "kernels/layer_ops.h"
#include "kernels/launch.h"
#include "kernels/lora.h"

namespace chorale::cuda {

// A matrix outside the layers: tiles of 128 columns with one row a rank (memory/page_layout.h), in the range of bytes that
// the adapter's pages behind those of the layers form, one after another. That may be more than 4 GiB.
struct OuterMatrix {
  int64_t offset = 0;   // bytes from the start of the range
  int32_t rank = 0;     // 0: there is none
  int32_t columns = 0;
};

struct OuterPair {
  OuterMatrix a, b;
  float scale = 0;
};

inline constexpr uint32_t kNoGain = 0xffffffffu;

struct FormUse {
  const int32_t* pages = nullptr;        // of the layers, device
  const int32_t* outer_pages = nullptr;  // behind them, device
  const uint32_t* gains = nullptr;       // [layers][7] places in the layer's range, or kNoGain; null: none at all; device
  OuterPair embed, head;
  OuterMatrix own_head;                  // rank: words
  float scale = 1.0f;                    // factor on the scales of both pairs
};

// A row (of the step, or of those that are sampled) and which of the step's uses are its own.
struct FormRow {
  int32_t row = 0;
  int32_t use_begin = 0, use_end = 0;
  int32_t v_offset = 0;  // of its rank activations, in floats
};

// Sampled rows that have one adapter's head.
inline constexpr int32_t kOwnHeadRows = 8;
struct OwnHeadGroup {
  int32_t use = 0;
  int32_t count = 0;
  int32_t rows[kOwnHeadRows] = {};
};

// All on the device. Launches provide for `entries_max`; how many there are is read by the kernel.
template <typename Entry>
struct FormList {
  const Entry* entries = nullptr;
  const int32_t* count = nullptr;
  int32_t entries_max = 0;
};

struct GainArgs {
  FormList<FormRow> rows;
  const FormUse* uses = nullptr;
  LoraPool pool;
  int32_t layer = 0;
  int32_t targets = 0;  // of the site
  int32_t first_target = 0;
  int32_t outputs[kLoraSiteTargets] = {};  // of the base, of each target; side by side in y
  Product y;            // as the product left it, without any LoRA
};
void MultiplyByGains(Launcher& launcher, Element element, const GainArgs& args);

struct OuterArgs {
  const FormUse* uses = nullptr;
  const uint8_t* pool = nullptr;
  int64_t page_bytes = 0;
};

struct EmbedLoraArgs {
  OuterArgs outer;
  FormList<FormRow> rows;
  const int32_t* token_ids = nullptr;  // [T], as of StepRows
  const int32_t* drawn = nullptr;
  float* residual = nullptr;           // [T, hidden]
  int32_t hidden = 0;                  // of a row of it
  int32_t columns = 0;                 // of the model
};
void AddEmbedLora(Launcher& launcher, Element element, const EmbedLoraArgs& args);

struct HeadArgs {
  OuterArgs outer;
  FormList<FormRow> rows;        // with LoRA of the head
  FormList<OwnHeadGroup> groups;
  const void* x = nullptr;       // [K, stride] T
  int32_t stride = 0;            // a multiple of 8; zero from the model's columns on
  int32_t words = 0;             // of the head here
  float* v = nullptr;
  Product logits;                // float32
};
void OwnHead(Launcher& launcher, Element element, const HeadArgs& args);
void AddHeadLora(Launcher& launcher, Element element, const HeadArgs& args);

struct RowSquaresArgs {
  const void* weight = nullptr;  // [rows, stride] T, from the first row on
  int64_t stride = 0;
  int32_t rows = 0;
  int32_t cols = 0;
  const float* a = nullptr;      // [rank, cols]
  const float* b = nullptr;      // [rows, rank]
  int32_t rank = 0;
  float scale = 1.0f;
  double* squares = nullptr;     // [rows]
};
// squares[n] = the sum over k of (W + scale * B A)[n][k]^2
void RowSquares(Launcher& launcher, Element element, const RowSquaresArgs& args);

}  // namespace chorale::cuda
