#include "tools/lockstep.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/status.h"

namespace chorale {
namespace {

double RowMagnitude(std::span<const float> row) {
  double largest = 0;
  for (float value : row) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;  // NaN never becomes the largest
}

void PlantIn(std::span<float> values, int64_t columns) {
  auto at = static_cast<int64_t>(values.size()) / 2;
  double magnitude = RowMagnitude(values.subspan(at / columns * columns, columns));
  values[at] += static_cast<float>(0.05 * std::max(magnitude, 1e-3));
}

}  // namespace

std::string OpName(int32_t op, int32_t layer) {
  std::string name = op == kOpSample ? "sample" : kOpNames[op];
  return layer < 0 ? name : Format("%s@%d", name.c_str(), layer);
}

std::string Difference::Describe() const {
  return Format("step %lld, %s: %s", static_cast<long long>(step_id), OpName(op, layer).c_str(), text.c_str());
}

std::optional<Plant> Plant::Parse(const std::string& text) {
  size_t at = text.find('@');
  std::string name = text.substr(0, at);
  for (int32_t op = 0; op <= kOpSample; ++op) {
    if (name != OpName(op, -1)) continue;
    if (IsLayerOp(op) != (at != std::string::npos)) return {};
    Plant plant{op, -1};
    if (!IsLayerOp(op)) return plant;
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data() + at + 1, end, plant.layer);
    if (error != std::errc() || stop != end || plant.layer < 0) return {};
    return plant;
  }
  return {};
}

void Lockstep::Begin(int64_t step_id) {
  std::lock_guard lock(mutex_);
  step_id_ = step_id;
  ended_ = {false, false};
}

void Lockstep::End(Role role) {
  std::lock_guard lock(mutex_);
  ended_[role] = true;
  moved_on_.notify_all();
}

void Lockstep::Arrive(Role role, const Output& output) {
  if (role == kActual && plant_ && plant_->op == output.op && plant_->layer == output.layer) {
    PlantIn(output.values, output.columns);
  }
  std::unique_lock lock(mutex_);
  if (difference_) return;
  waiting_[role] = output;
  if (!waiting_[1 - role]) {
    int64_t before = compared_;
    moved_on_.wait(lock, [&] { return compared_ > before || ended_[1 - role]; });
    if (compared_ == before) waiting_[role].reset();  // the other will not come: its result says why
    return;
  }
  Compare(*waiting_[kExpected], *waiting_[kActual]);
  waiting_ = {};
  ++compared_;
  moved_on_.notify_all();
}

void Lockstep::Compare(const Output& expected, const Output& actual) {
  auto differ = [&](std::string text) {
    difference_ = Difference{step_id_, expected.op, expected.layer, std::move(text)};
  };
  if (expected.op != actual.op || expected.layer != actual.layer || expected.columns != actual.columns ||
      expected.values.size() != actual.values.size()) {
    return differ(Format("the other run has %s of %zu values instead of %zu", OpName(actual.op, actual.layer).c_str(),
                         actual.values.size(), expected.values.size()));
  }
  int64_t columns = expected.columns;
  for (int64_t row = 0; row * columns < static_cast<int64_t>(expected.values.size()); ++row) {
    auto wanted = expected.values.subspan(row * columns, columns);
    auto got = actual.values.subspan(row * columns, columns);
    double magnitude = RowMagnitude(wanted);
    int64_t worst = -1;
    double worst_error = tolerance_ * magnitude;
    for (int64_t i = 0; i < columns; ++i) {
      if (wanted[i] == got[i] || (std::isnan(wanted[i]) && std::isnan(got[i]))) continue;
      double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(wanted[i]));
      if (std::isnan(error)) error = INFINITY;
      if (error > worst_error) worst = i, worst_error = error;
    }
    if (worst < 0) continue;
    return differ(Format("row %lld, column %lld: expected %.9g, got %.9g; off by %.2g of the row's largest magnitude "
                         "%.3g, allowed are %.2g",
                         static_cast<long long>(row), static_cast<long long>(worst),
                         static_cast<double>(wanted[worst]), static_cast<double>(got[worst]),
                         worst_error / std::max(magnitude, 1e-300), magnitude, tolerance_));
  }
  std::copy(expected.values.begin(), expected.values.end(), actual.values.begin());
}

}  // namespace chorale
