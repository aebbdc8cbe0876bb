// Reading an adapter's tensors.
#pragma once

#include <vector>

#include "model/image_view.h"
#include "model/span_source.h"

namespace chorale {

// Rows [begin, begin + rows) of the tensor as float32; its numbers must be such as `element` can hold.
Status ReadTensor(SpanSource& source, const SpanEntry& span, int64_t begin, int64_t rows, int32_t element,
                  std::vector<float>* out);

}  // namespace chorale
