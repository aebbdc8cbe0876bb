// Stored numbers (image_abi.h, DType) to float32; exact.
#pragma once

#include <cstdint>

namespace chorale {

// Reads `count` numbers of `dtype` from `bytes`, which need no alignment.
void ConvertToFloat(const uint8_t* bytes, int32_t dtype, int64_t count, float* out);

}  // namespace chorale
