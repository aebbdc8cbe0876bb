// cuBLASLt, found at run time: products with many rows. Where it is missing, or its first products are not what they
// should be, the engine's own kernels do all the work.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "kernels/launch.h"

namespace chorale::cuda {

class CublasLt {
 public:
  // Null, and a sentence in *reason, when the library cannot be used. Allocates its workspace on the current device.
  static std::unique_ptr<CublasLt> Load(std::string* reason);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  const std::string& name() const { return name_; }

  struct GemmArgs {
    const void* weight = nullptr;  // [cols, inputs]
    int64_t weight_stride = 0;
    const void* x = nullptr;       // [rows, inputs]
    int64_t x_stride = 0;
    void* y = nullptr;             // [rows, cols]
    bool half = false;             // y is of 16 bits, else float32
    int32_t rows = 0, cols = 0, inputs = 0;
    int32_t choice = kPreferred;   // or the how-manieth best algorithm by the library's own guess
  };
  static constexpr int32_t kPreferred = -1, kChoices = 8;
  // y = x W^T. False when the library refuses, or has no such choice; then nothing has been launched.
  bool Gemm(Launcher& launcher, Element element, const GemmArgs& args);
  // Whether the kernel that Gemm would launch has been launched before: the library loads kernels when they are first
  // wanted, which waits for the device.
  bool HasRun(Element element, const GemmArgs& args);

 private:
  struct Functions;
  struct Plan;  // descriptors and algorithm of one shape
  using Shape = std::tuple<Element, bool, int32_t, int32_t, int32_t, int64_t, int64_t>;

  CublasLt() = default;
  bool SelfTest(std::string* reason);
  Plan* PlanFor(Element element, const GemmArgs& args);
  void Prefer(Plan* plan) const;

  std::unique_ptr<Functions> functions_;
  void* library_ = nullptr;
  void* handle_ = nullptr;
  void* workspace_ = nullptr;
  std::string name_;
  std::map<Shape, std::unique_ptr<Plan>> plans_;
  std::set<std::pair<bool, std::array<uint64_t, 8>>> run_;  // half, algorithm
};

}  // namespace chorale::cuda
