// A look at what each operation of a step has produced: for step_replay and for parity tests. Null in production.
//
// The forward pass calls OnOp right after each operation, on the stepping thread, with all rows of its output, before
// anything reads them. The observer may change the values: that is how a test plants a fault.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace chorale {

// The operations of a step in the order in which they run; a layer runs kOpAttnNorm to kOpDown.
enum Op : int32_t {
  kOpEmbed = 0,   // [T, H]
  kOpAttnNorm,    // [T, H]
  kOpQ,           // [T, heads * head_dim]     with bias and LoRA, as are all linears
  kOpK,           // [T, kv_heads * head_dim]
  kOpV,           // [T, kv_heads * head_dim]
  kOpRopeQ,       // [T, heads * head_dim]     after q norm and rotation
  kOpRopeK,       // [T, kv_heads * head_dim]  after k norm and rotation, as stored
  kOpAttention,   // [T, heads * head_dim]
  kOpO,           // [T, H]
  kOpMlpNorm,     // [T, H]
  kOpGate,        // [T, intermediate]
  kOpUp,          // [T, intermediate]
  kOpSwiGlu,      // [T, intermediate]
  kOpDown,        // [T, H]
  kOpFinalNorm,   // [rows that are sampled or wanted, H]
  kOpLogits,      // [K, V]
  kOps
};

inline constexpr std::array<const char*, kOps> kOpNames = {
    "embed", "attn_norm", "q",    "k",  "v",      "rope_q", "rope_k",     "attention",
    "o",     "mlp_norm",  "gate", "up", "swiglu", "down",   "final_norm", "logits"};

inline constexpr bool IsLayerOp(int32_t op) { return op >= kOpAttnNorm && op <= kOpDown; }

class OpObserver {
 public:
  virtual ~OpObserver() = default;
  // layer: -1 for operations outside the layers. values: [rows, columns] row-major, of the host.
  virtual void OnOp(Op op, int32_t layer, std::span<float> values, int64_t columns) = 0;
};

}  // namespace chorale
