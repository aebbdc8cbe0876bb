// What an engine does when its device is lost: a kernel that traps leaves the whole process without it, so this is a
// program of its own.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "testing/engine_harness.h"

namespace chorale {
namespace {

using testing::EngineHarness;
using testing::StepBuilder;

// Runs a kernel that traps on the device that the process uses; the driver's functions are found as the plugin's are.
class Trap {
 public:
  static bool Spring() {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (driver == nullptr) return false;
    const auto find = [driver](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(driver, name));
      return function != nullptr;
    };
    int (*retain)(void**, int) = nullptr;
    int (*set_current)(void*) = nullptr;
    int (*load)(void**, const void*) = nullptr;
    int (*get)(void**, void*, const char*) = nullptr;
    int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**) =
        nullptr;
    void *context = nullptr, *module = nullptr, *function = nullptr;
    return find(retain, "cuDevicePrimaryCtxRetain") && find(set_current, "cuCtxSetCurrent") &&
           find(load, "cuModuleLoadData") && find(get, "cuModuleGetFunction") && find(launch, "cuLaunchKernel") &&
           retain(&context, 0) == 0 && set_current(context) == 0 && load(&module, kSource) == 0 &&
           get(&function, module, "trap") == 0 &&
           launch(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) == 0;
  }

 private:
  static constexpr const char* kSource =
      ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry trap()\n{\n  trap;\n  ret;\n}\n";
};

TEST(CudaFault, ALostDeviceIsTheEndOfTheEngine) {
  const char* directory = std::getenv("CHORALE_CUDA_LIBRARY_DIR");
  if (directory == nullptr) GTEST_SKIP() << "CHORALE_CUDA_LIBRARY_DIR does not say where libchorale_cuda.so is";
  const ModelSpec spec = {2, 512, 1280, 8, 2, 128, 999, 1024, 128, 0, 0, 0, 1e-5f, 1, 0.088388346f, 0};
  testing::TensorSet model = testing::DummyModel(spec, 1, kBF16);
  AlignedBytes manifest;
  manifest.Assign(model.BuildFor("none"));
  const Result<ManifestView> view = ManifestView::ParseModel(manifest.bytes());
  ASSERT_TRUE(view.ok());
  testing::MemorySpans none({});
  EngineConfig config;
  config.backend = "cuda";
  config.library_dir = directory;
  config.pool_bytes = 64 << 20;
  Result<std::unique_ptr<ShardedEngine>> made = ShardedEngine::Create(config, view.value(), none);
  if (!made.ok() && made.status().message().find("no device") != std::string::npos) GTEST_SKIP() << made.status().message();
  ASSERT_TRUE(made.ok()) << made.status().message();
  ShardedEngine& engine = *made.value();
  std::vector<uint8_t> out(1 << 20);
  int64_t bytes = 0;
  const auto step = [&](int64_t id) {
    StepBuilder builder;
    builder.Sequence({1, 2, 3}, 0, {0}, 3).Segment().Sample();
    return engine.Begin(builder.Id(id).Build());
  };
  ASSERT_TRUE(step(0).ok());
  ASSERT_TRUE(engine.Await(out, &bytes).ok());
  ASSERT_TRUE(Trap::Spring());

  Status status;
  for (int64_t id = 1; id < 4 && status.ok(); ++id) {  // the fault may take a step to show
    status = step(id);
    if (status.ok()) status = engine.Await(out, &bytes);
  }
  EXPECT_EQ(status.code(), CH_DEAD);
  EXPECT_NE(status.message().find("CUDA"), std::string::npos) << status.message();
  for (int32_t again = 0; again < 2; ++again) {
    EXPECT_EQ(step(9).code(), CH_DEAD);
    EXPECT_EQ(engine.Await(out, &bytes).code(), CH_DEAD);
    testing::TensorSet adapter = testing::DummyAdapter(spec, 2, 4, {kQ});
    manifest.Assign(adapter.BuildFor("none"));
    EXPECT_EQ(engine.Stage(ManifestView::ParseAdapter(manifest.bytes(), spec).value(), none).status().code(), CH_DEAD);
  }
}

}  // namespace
}  // namespace chorale
