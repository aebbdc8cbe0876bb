// Staging: an adapter's tensors, read from their files into a host image that is laid out as its pages will be.
#pragma once

#include "backend/backend.h"
#include "model/image_view.h"
#include "model/span_source.h"
#include "model/weights.h"

namespace chorale {

// The manifest was parsed against the base model's spec, so its shapes fit. What the backend does not compute is refused by
// name.
//
// DoRA computes W' x with W' = m * (W + s B A) / |W + s B A|, by rows. With the gain g = m / |W + s B A| that is
// g * W x + s (g * B) A x: so B is staged times g, and g beside it as a factor on the base's product. Norms are of
// float64 sums over the base's weights as they are in memory.
Result<AdapterImage> StageAdapter(const ManifestView& manifest, SpanSource& source, const LinearShapes& shapes,
                                  const ModelWeights& base, Backend& backend);

}  // namespace chorale
