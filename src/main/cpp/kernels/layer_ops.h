// The operations of a layer that are not a matrix product or attention: launchers.
#pragma once

#include "kernels/exchange.h"
#include "kernels/launch.h"
#include "kernels/lora.h"

namespace chorale::cuda {

// Which token each row of the step is, and where its key and value go. Device memory.
struct StepRows {
  const int32_t* token_ids = nullptr;  // [T]  -(k+1): drawn[k]
  const int32_t* positions = nullptr;  // [T]
  const int32_t* pages = nullptr;      // [T]  the page of the row's position
};

struct EmbedArgs {
  StepRows rows;
  const int32_t* drawn = nullptr;     // ids that the step before drew
  const void* table = nullptr;        // [V, table_stride]
  int64_t table_stride = 0;           // elements
  float* residual = nullptr;          // [T, hidden]
  int32_t hidden = 0;                 // a multiple of 8, at most table_stride
  const float* inv_freq = nullptr;    // [rotary_pairs]
  float rope_magnitude = 1.0f;
  float2* rotation = nullptr;         // [T, rotary_pairs] (cosine, sine), for QkvPost
  int32_t rotary_pairs = 0;
  bool beside_plan = false;           // the launch before was LoraPlan: this one runs beside it, the next begins when it has ended
};
void Embed(Launcher& launcher, Element element, int32_t rows, const EmbedArgs& args);

struct AddNormArgs {
  float* residual = nullptr;   // [T, hidden]
  Product delta;               // data null: nothing to add
  const float* delta_bias = nullptr;  // [hidden] or null
  Exchange exchange;           // of several shards: delta with its bias is summed over them
  const float* norm = nullptr;  // [hidden]
  void* out = nullptr;         // [T, hidden]
  int32_t hidden = 0;          // a multiple of 8, at most 16,384
  int32_t hidden_real = 0;     // columns that count in the mean; the rest are zero
  float eps = 0;
};
void AddNorm(Launcher& launcher, Element element, int32_t rows, const AddNormArgs& args);

// The product becomes the sum of the shards', each with its bias, as AddNorm sums: one part of the type that it has.
void SumShards(Launcher& launcher, Element element, int32_t rows, const Product& product, const float* bias,
               const Exchange& exchange);

struct QkvPostArgs {
  StepRows rows;
  Product qkv;                      // [T, (heads + 2 kv_heads) * head_dim]
  const float* bias = nullptr;      // [the same] or null
  const float* q_norm = nullptr;    // [head_dim] or null
  const float* k_norm = nullptr;
  float eps = 0;
  const float2* rotation = nullptr;  // [T, rotary_pairs]
  int32_t rotary_pairs = 0;
  void* q = nullptr;                // [T, heads * head_dim]
  int32_t heads = 0;
  float* rotated = nullptr;         // [T, qkv.cols] or null: what was computed, before it is rounded; may be qkv's data
  KvPages kv;
};
void QkvPost(Launcher& launcher, Element element, int32_t rows, const QkvPostArgs& args);

// The same of a product of many rows to which B v is still to be added: instead of LoraExpand and QkvPost. The groups cover
// all rows, those of the base model alone too.
bool CanQkvPostLora(const QkvPostArgs& args);
void QkvPostLora(Launcher& launcher, Element element, const QkvPostArgs& args, int32_t groups_max, const LoraSiteArgs& lora);

struct SwiGluArgs {
  Product gate_up;            // [T, 2 * intermediate]
  const float* bias = nullptr;  // [2 * intermediate] or null
  void* out = nullptr;        // [T, out_stride]
  int32_t intermediate = 0;
  int32_t out_stride = 0;
};
void SwiGlu(Launcher& launcher, Element element, int32_t rows, const SwiGluArgs& args);

// The same of a product of many rows to which B v is still to be added: instead of LoraExpand and SwiGlu. The groups cover
// all rows, those of the base model alone too.
bool CanSwiGluLora(const SwiGluArgs& args);
void SwiGluLora(Launcher& launcher, Element element, const SwiGluArgs& args, int32_t groups_max, const LoraSiteArgs& lora);

// out row i = x row rows[i]; columns of 16 bits, a multiple of 8.
void GatherRows(Launcher& launcher, const void* x, const int32_t* rows, int32_t count, int32_t cols, void* out);

// The float32 product's partials, its LoRA part and the bias, where there are any, are added up into its first partial.
void CollapseProduct(Launcher& launcher, int32_t rows, const Product& product, const float* bias);

}  // namespace chorale::cuda
