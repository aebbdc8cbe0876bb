// Staging: an adapter's tensors, read from their files into a host image that is laid out as its pages will be.
#pragma once

#include "backend/backend.h"
#include "lora/adapter_gains.h"
#include "model/image_view.h"
#include "model/span_source.h"

namespace chorale {

// The manifest was parsed against the base model's spec, so its shapes fit; `gains` are this adapter's.
Result<AdapterImage> StageAdapter(const ManifestView& manifest, SpanSource& source, const LinearShapes& shapes,
                                  const AdapterGains& gains, Backend& backend);

}  // namespace chorale
