// Stored numbers (image_abi.h, DType) to float32; exact.
#pragma once

#include <cstdint>

#include "chorale/image_abi.h"

namespace chorale {

// Reads `count` numbers of `dtype` from `bytes`, which need no alignment.
void ConvertToFloat(const uint8_t* bytes, int32_t dtype, int64_t count, float* out);

// The other way, rounded to nearest, ties to even.
void ConvertFromFloat(const float* values, int32_t dtype, int64_t count, uint8_t* out);

// Rounds numbers to those that the type can hold.
void RoundTo(int32_t dtype, int64_t count, float* values);

inline int32_t ElementBytes(int32_t dtype) { return dtype == kF32 ? 4 : 2; }
float LargestFinite(int32_t dtype);

}  // namespace chorale
