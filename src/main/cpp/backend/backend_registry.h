// Where backends come from: the CPU is built in, CUDA is a plugin that is loaded when it is asked for, so that the
// service starts on any machine.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"

namespace chorale {

// The one symbol that a plugin exports (C linkage): creates a backend, or returns null and leaves a sentence in *error.
// abi_version is kPluginVersion of the caller; a plugin of another version refuses.
using CreateBackendFunction = Backend* (*)(int32_t abi_version, const BackendParams& params, Status* error);
inline constexpr const char* kCreateBackendSymbol = "chorale_create_backend";
inline constexpr int32_t kPluginVersion = 4;  // grows with every change of Backend or of what its calls are given

// name: cpu or cuda. library_dir: where plugins lie; empty: beside this library.
Result<std::unique_ptr<Backend>> CreateBackend(const std::string& name, const std::string& library_dir,
                                               const BackendParams& params);

}  // namespace chorale
