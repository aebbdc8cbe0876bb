// Staging: an adapter's tensors, read from their files into a host image that is laid out as its pages will be.
#pragma once

#include <atomic>
#include <memory>

#include "backend/backend.h"
#include "model/image_view.h"
#include "model/span_source.h"
#include "weights/adapter_gains.h"

namespace chorale {

// Bytes of host memory that staged adapters have and nobody has freed, released ones too while a load needs them.
using StagedBytes = std::atomic<int64_t>;

// The manifest was parsed against the base model's spec, so its shapes fit; `gains` are this adapter's. What the image
// has is in `staged` for as long as it lives.
Result<AdapterImage> StageAdapter(const ManifestView& manifest, SpanSource& source, const LinearShapes& shapes,
                                  const AdapterGains& gains, Backend& backend,
                                  std::shared_ptr<StagedBytes> staged);

}  // namespace chorale
