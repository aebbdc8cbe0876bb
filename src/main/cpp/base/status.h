// Status and Result<T>: how functions inside the engine report failure. Exceptions are not used for control.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "chorale/engine_c.h"

namespace chorale {

class [[nodiscard]] Status {
 public:
  Status() = default;
  static Status Ok() { return Status(); }
  static Status Invalid(std::string message) { return Status(CH_INVALID_ARGUMENT, std::move(message)); }
  static Status Exhausted(std::string message) { return Status(CH_RESOURCE_EXHAUSTED, std::move(message)); }
  static Status Dead(std::string message) { return Status(CH_DEAD, std::move(message)); }
  Status WithMessage(std::string message) const { return Status(code_, std::move(message)); }

  bool ok() const { return code_ == CH_OK; }
  int32_t code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Status(int32_t code, std::string message) : code_(code), message_(std::move(message)) {}
  int32_t code_ = CH_OK;
  std::string message_;
};

// A value, or the status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}            // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}    // NOLINT(google-explicit-constructor)

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

// printf into a std::string.
std::string Format(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace chorale

#define CHORALE_RETURN_IF_ERROR(expression)           \
  do {                                                \
    ::chorale::Status chorale_status = (expression);  \
    if (!chorale_status.ok()) return chorale_status;  \
  } while (false)
