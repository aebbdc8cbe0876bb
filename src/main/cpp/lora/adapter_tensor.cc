#include "lora/adapter_tensor.h"

#include <algorithm>
#include <cmath>

#include "base/convert.h"
#include "model/host_tensor.h"

namespace chorale {

Status ReadTensor(SpanSource& source, const SpanEntry& span, int64_t begin, int64_t rows, int32_t element,
                  std::vector<float>* out) {
  const Result<HostTensor> tensor = HostTensor::Of(span, source);
  if (!tensor.ok()) return tensor.status();
  out->resize(static_cast<size_t>(rows * span.cols));
  tensor.value().Read(begin * span.cols, rows * span.cols, out->data());
  const float largest = LargestFinite(element);
  const auto bad = std::find_if_not(out->begin(), out->end(), [&](float value) { return std::abs(value) <= largest; });
  if (bad != out->end()) {
    return Status::Invalid(Format("%s: element %lld is %g", SpanName(span.role, span.layer).c_str(),
                                  static_cast<long long>(begin * span.cols + (bad - out->begin())), *bad));
  }
  return Status::Ok();
}

}  // namespace chorale
