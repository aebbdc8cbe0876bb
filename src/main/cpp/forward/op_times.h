// Where the time of forward passes goes, by kind of operation: filled only when somebody asks (chorale_bench).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace chorale {

enum TimedOp : int32_t {
  kTimedEmbed = 0,
  kTimedNorm,
  kTimedQkv,
  kTimedQkvPost,
  kTimedAttention,
  kTimedO,
  kTimedGateUp,
  kTimedSwiGlu,
  kTimedDown,
  kTimedLogits,
  kTimedOps
};

inline constexpr std::array<const char*, kTimedOps> kTimedOpNames = {
    "embed", "norm", "qkv", "qkv_post", "attention", "o", "gate_up", "swiglu", "down", "logits"};

using OpTimes = std::array<int64_t, kTimedOps>;  // nanoseconds

// Adds the time of its life to an operation's; does nothing without times.
class OpTimer {
 public:
  OpTimer(OpTimes* times, TimedOp op) : time_(times == nullptr ? nullptr : &(*times)[op]) {
    if (time_ != nullptr) begin_ = std::chrono::steady_clock::now();
  }
  ~OpTimer() {
    if (time_ != nullptr) *time_ += (std::chrono::steady_clock::now() - begin_) / std::chrono::nanoseconds(1);
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  int64_t* time_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace chorale
