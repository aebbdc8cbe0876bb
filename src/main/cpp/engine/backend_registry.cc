#include "engine/backend_registry.h"

#include <dlfcn.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/plugin.h"

namespace chorale {
namespace {

std::string DirectoryOfThisLibrary() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&CreateBackend), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Result<std::unique_ptr<Backend>> CreateBackend(const std::string& name, const std::string& library_dir,
                                               const BackendParams& params) {
  if (name == "cpu") return CreateCpuBackend(params);
  const std::string path =
      (library_dir.empty() ? DirectoryOfThisLibrary() : library_dir) + "/libchorale_" + name + ".so";
  // Never closed: the backend's code must outlive every object that it made, and a process asks for it once.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Status::Invalid(Format("backend=%s: cannot load its plugin: %s", name.c_str(), dlerror()));
  }
  auto create = reinterpret_cast<CreateBackendFunction>(dlsym(library, kCreateBackendSymbol));
  if (create == nullptr) {
    return Status::Invalid(Format("backend=%s: %s has no symbol %s", name.c_str(), path.c_str(), kCreateBackendSymbol));
  }
  Status error;
  std::unique_ptr<Backend> backend(create(kPluginVersion, params, &error));
  if (backend == nullptr) {
    return error.ok() ? Status::Invalid(Format("backend=%s: its plugin created nothing", name.c_str())) : error;
  }
  return backend;
}

}  // namespace chorale
