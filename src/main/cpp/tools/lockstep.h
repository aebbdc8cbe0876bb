// Runs two engines through the same step side by side: each operation's output is compared as soon as both have it, and
// the expected values then take the place of the actual ones. So a difference is named where it arises, rounding does
// not add up from operation to operation, and nothing but one operation's output is ever held.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "backend/op_observer.h"

namespace chorale {

inline constexpr int32_t kOpSample = kOps;  // what is drawn: not an OpObserver's, but named like one

std::string OpName(int32_t op, int32_t layer);  // "o@3", "logits"

// The first operation in which two runs differ.
struct Difference {
  int64_t step_id = 0;
  int32_t op = 0;
  int32_t layer = -1;
  std::string text;  // row, column, both values, the error and the tolerance

  std::string Describe() const;
};

// A fault to plant, in the actual run: one output of one operation is off by a twentieth of its row's largest.
struct Plant {
  int32_t op = 0;
  int32_t layer = -1;

  // "op@layer" or "op" for those outside the layers.
  static std::optional<Plant> Parse(const std::string& text);
};

class Lockstep {
 public:
  // tolerance: of an element, relative to the largest magnitude in its row.
  Lockstep(double tolerance, std::optional<Plant> plant)
      : tolerance_(tolerance), plant_(plant), expected_(this, kExpected), actual_(this, kActual) {}

  OpObserver* expected() { return &expected_; }
  OpObserver* actual() { return &actual_; }

  // A step begins; each side then ends once it has been awaited, so that the other does not wait for it.
  void Begin(int64_t step_id);
  void EndExpected() { End(kExpected); }
  void EndActual() { End(kActual); }

  const std::optional<Difference>& difference() const { return difference_; }

 private:
  enum Role { kExpected = 0, kActual = 1 };

  class Observer final : public OpObserver {
   public:
    Observer(Lockstep* lockstep, Role role) : lockstep_(lockstep), role_(role) {}
    void OnOp(Op op, int32_t layer, std::span<float> values, int64_t columns) override {
      lockstep_->Arrive(role_, {op, layer, values, columns});
    }

   private:
    Lockstep* lockstep_;
    Role role_;
  };

  struct Output {
    Op op = kOpEmbed;
    int32_t layer = -1;
    std::span<float> values;
    int64_t columns = 0;
  };

  void Arrive(Role role, const Output& output);
  void End(Role role);
  void Compare(const Output& expected, const Output& actual);

  const double tolerance_;
  const std::optional<Plant> plant_;
  Observer expected_;
  Observer actual_;

  std::mutex mutex_;  // guards what follows while a step runs
  std::condition_variable moved_on_;
  std::array<std::optional<Output>, 2> waiting_;
  std::array<bool, 2> ended_ = {true, true};
  int64_t compared_ = 0;  // operations
  int64_t step_id_ = 0;
  std::optional<Difference> difference_;
};

}  // namespace chorale
