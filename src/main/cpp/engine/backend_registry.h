// Where backends come from: the CPU is built in, CUDA is a plugin that is loaded when it is asked for, so that the
// service starts on any machine.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"

namespace chorale {

// name: cpu or cuda. library_dir: where plugins lie; empty: beside this library.
Result<std::unique_ptr<Backend>> CreateBackend(const std::string& name, const std::string& library_dir,
                                               const BackendParams& params);

}  // namespace chorale
