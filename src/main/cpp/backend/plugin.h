// What a backend that is a library of its own exports.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "base/status.h"

namespace chorale {

// The one symbol that a plugin exports (C linkage): creates a backend, or returns null and leaves a sentence in *error.
// abi_version is kPluginVersion of the caller; a plugin of another version refuses.
using CreateBackendFunction = Backend* (*)(int32_t abi_version, const BackendParams& params, Status* error);
inline constexpr const char* kCreateBackendSymbol = "chorale_create_backend";
inline constexpr int32_t kPluginVersion = 4;  // grows with every change of Backend or of what its calls are given

}  // namespace chorale
