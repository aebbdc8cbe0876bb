#include "backend/cuda/cublaslt.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "base/half.h"
#include "base/status.h"

namespace chorale::cuda {
namespace {

// What this needs of the library's binary interface, which is the same in versions 12 and 13. The self-test guards it.
constexpr int32_t kCompute32F = 68;
constexpr int32_t kReal32F = 0, kReal16F = 2, kReal16BF = 14;
constexpr int32_t kTranspose = 1;
constexpr int32_t kDescTransA = 3;
constexpr int32_t kPreferenceMaxWorkspace = 1;
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr int32_t kAlgorithmTile = 1;
// From so many outputs on the library's first guess is seldom its fastest: its first guess with one of these tiles (as it
// numbers them; on an H200 by version 13.1) is 2 to 10 % faster. Timing all guesses at the start would find more, but not
// the same each time, and with the algorithm the bits would change.
constexpr int64_t kManyOutputs = 20'000'000;
constexpr int32_t kManyOutputsTiles[] = {197, 201};
constexpr size_t kTilesKnownOf = 1301;  // major and minor version: another may number tiles otherwise
constexpr size_t kPlansMax = 4096;  // prefill sees many row counts; then all plans are made anew

struct Algorithm {
  std::array<uint64_t, 8> data;
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace_bytes;
  int32_t state;
  float waves;
  int32_t reserved[4];
};
static_assert(sizeof(Heuristic) == 96);

}  // namespace

struct CublasLt::Functions {
  int32_t (*create)(void**) = nullptr;
  int32_t (*destroy)(void*) = nullptr;
  size_t (*version)() = nullptr;
  int32_t (*desc_create)(void**, int32_t, int32_t) = nullptr;
  int32_t (*desc_set)(void*, int32_t, const void*, size_t) = nullptr;
  int32_t (*desc_destroy)(void*) = nullptr;
  int32_t (*layout_create)(void**, int32_t, uint64_t, uint64_t, int64_t) = nullptr;
  int32_t (*layout_destroy)(void*) = nullptr;
  int32_t (*preference_create)(void**) = nullptr;
  int32_t (*preference_set)(void*, int32_t, const void*, size_t) = nullptr;
  int32_t (*preference_destroy)(void*) = nullptr;
  int32_t (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int32_t, Heuristic*, int32_t*) = nullptr;
  int32_t (*algorithm_get)(const Algorithm*, int32_t, void*, size_t, size_t*) = nullptr;
  int32_t (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*, void*,
                    void*, void*, const Algorithm*, void*, size_t, cudaStream_t) = nullptr;
};

struct CublasLt::Plan {
  const Functions* functions = nullptr;
  void* desc = nullptr;
  void* weight = nullptr;
  void* x = nullptr;
  void* y = nullptr;
  std::array<Algorithm, kChoices> choices{};
  int32_t usable = 0;  // choices
  int32_t preferred = 0;

  int32_t Choice(const GemmArgs& args) const { return args.choice == kPreferred ? preferred : args.choice; }

  ~Plan() {
    if (desc != nullptr) functions->desc_destroy(desc);
    for (void* layout : {weight, x, y}) {
      if (layout != nullptr) functions->layout_destroy(layout);
    }
  }
};

std::unique_ptr<CublasLt> CublasLt::Load(std::string* reason) {
  const char* chosen = std::getenv("CHORALE_CUBLASLT");
  std::vector<std::string> names;
  if (chosen != nullptr && *chosen != '\0') {
    names.push_back(chosen);
  } else {
    for (const char* version : {"13", "12"}) {
      names.push_back(std::string("libcublasLt.so.") + version);
      names.push_back(std::string("/usr/local/cuda/lib64/libcublasLt.so.") + version);
    }
  }
  std::unique_ptr<CublasLt> lt(new CublasLt());
  for (const std::string& name : names) {
    lt->library_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (lt->library_ == nullptr) continue;
    lt->name_ = name;
    break;
  }
  if (lt->library_ == nullptr) {
    *reason = "no cuBLASLt library was found (set CHORALE_CUBLASLT to its path)";
    return nullptr;
  }
  lt->functions_ = std::make_unique<Functions>();
  Functions& f = *lt->functions_;
  const auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(lt->library_, symbol));
    if (function == nullptr) *reason = Format("%s has no %s", lt->name_.c_str(), symbol);
    return function != nullptr;
  };
  const bool found = find(f.create, "cublasLtCreate") && find(f.destroy, "cublasLtDestroy") &&
                     find(f.version, "cublasLtGetVersion") && find(f.desc_create, "cublasLtMatmulDescCreate") &&
                     find(f.desc_set, "cublasLtMatmulDescSetAttribute") &&
                     find(f.desc_destroy, "cublasLtMatmulDescDestroy") &&
                     find(f.layout_create, "cublasLtMatrixLayoutCreate") &&
                     find(f.layout_destroy, "cublasLtMatrixLayoutDestroy") &&
                     find(f.preference_create, "cublasLtMatmulPreferenceCreate") &&
                     find(f.preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
                     find(f.preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
                     find(f.heuristic, "cublasLtMatmulAlgoGetHeuristic") &&
                     find(f.algorithm_get, "cublasLtMatmulAlgoConfigGetAttribute") &&
                     find(f.matmul, "cublasLtMatmul");
  if (!found) {
    lt->functions_.reset();
    return nullptr;
  }
  lt->name_ += Format(" (version %zu)", f.version());
  if (f.create(&lt->handle_) != 0 || cudaMalloc(&lt->workspace_, kWorkspaceBytes) != cudaSuccess) {
    *reason = Format("%s cannot be started on this device", lt->name_.c_str());
    return nullptr;
  }
  if (!lt->SelfTest(reason)) return nullptr;
  return lt;
}

CublasLt::~CublasLt() {
  plans_.clear();
  cudaFree(workspace_);
  if (handle_ != nullptr) functions_->destroy(handle_);
  // The library stays loaded: it may have threads and atexit handlers of its own.
}

// The library sees matrices column by column: y^T [cols, rows] = W [cols, inputs] (transposed as it lies) x^T.
CublasLt::Plan* CublasLt::PlanFor(Element element, const GemmArgs& a) {
  const Shape shape{element, a.half, a.rows, a.cols, a.inputs, a.weight_stride, a.x_stride};
  if (const auto found = plans_.find(shape); found != plans_.end()) return found->second.get();
  if (plans_.size() >= kPlansMax) plans_.clear();
  const Functions& f = *functions_;
  const int32_t type = element == Element::kBf16 ? kReal16BF : kReal16F;
  auto plan = std::make_unique<Plan>();
  plan->functions = &f;
  void* preference = nullptr;
  std::array<Heuristic, kChoices> results{};
  int32_t count = 0;
  const bool good =
      f.desc_create(&plan->desc, kCompute32F, kReal32F) == 0 &&
      f.desc_set(plan->desc, kDescTransA, &kTranspose, sizeof(kTranspose)) == 0 &&
      f.layout_create(&plan->weight, type, static_cast<uint64_t>(a.inputs), static_cast<uint64_t>(a.cols),
                      a.weight_stride) == 0 &&
      f.layout_create(&plan->x, type, static_cast<uint64_t>(a.inputs), static_cast<uint64_t>(a.rows), a.x_stride) == 0 &&
      f.layout_create(&plan->y, a.half ? type : kReal32F, static_cast<uint64_t>(a.cols), static_cast<uint64_t>(a.rows), a.cols) == 0 &&
      f.preference_create(&preference) == 0 &&
      f.preference_set(preference, kPreferenceMaxWorkspace, &kWorkspaceBytes, sizeof(kWorkspaceBytes)) == 0 &&
      f.heuristic(handle_, plan->desc, plan->weight, plan->x, plan->y, plan->y, preference, kChoices, results.data(),
                  &count) == 0;
  if (preference != nullptr) f.preference_destroy(preference);
  for (int32_t i = 0; good && i < count; ++i) {
    if (results[i].state == 0) plan->choices[plan->usable++] = results[i].algorithm;
  }
  const bool known = f.version() / 100 == kTilesKnownOf;
  if (known && int64_t{a.rows} * a.cols >= kManyOutputs) Prefer(plan.get());
  return plans_.emplace(shape, std::move(plan)).first->second.get();
}

void CublasLt::Prefer(Plan* plan) const {
  for (int32_t i = 0; i < plan->usable; ++i) {
    int32_t tile = 0;
    size_t written = 0;
    const bool known = functions_->algorithm_get(&plan->choices[i], kAlgorithmTile, &tile, sizeof(tile), &written) == 0;
    if (!known || std::ranges::find(kManyOutputsTiles, tile) == std::end(kManyOutputsTiles)) continue;
    plan->preferred = i;
    return;
  }
}

bool CublasLt::Gemm(Launcher& launcher, Element element, const GemmArgs& a) {
  const Plan* plan = PlanFor(element, a);
  const int32_t choice = plan->Choice(a);
  if (choice >= plan->usable) return false;
  const float one = 1.0f, zero = 0.0f;
  const Algorithm& algorithm = plan->choices[choice];
  const bool launched = functions_->matmul(handle_, plan->desc, &one, a.weight, plan->weight, a.x, plan->x, &zero, a.y,
                                           plan->y, a.y, plan->y, &algorithm, workspace_, kWorkspaceBytes,
                                           launcher.stream) == 0;
  if (launched) run_.emplace(a.half, algorithm.data);
  return launched;
}

bool CublasLt::HasRun(Element element, const GemmArgs& a) {
  const Plan* plan = PlanFor(element, a);
  const int32_t choice = plan->Choice(a);
  return choice >= plan->usable || run_.contains({a.half, plan->choices[choice].data});
}

// One small product of each type, compared with its definition: the interface above is what the library has.
bool CublasLt::SelfTest(std::string* reason) {
  constexpr int32_t kRows = 16, kCols = 64, kInputs = 32;
  void* memory = nullptr;
  constexpr size_t kWeightBytes = kCols * kInputs * 2, kXBytes = kRows * kInputs * 2, kYBytes = kRows * kCols * 4;
  cudaStream_t stream = nullptr;
  bool good = cudaMalloc(&memory, kWeightBytes + kXBytes + kYBytes) == cudaSuccess &&
              cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess;
  for (const Element element : {Element::kBf16, Element::kF16}) {
    if (!good) break;
    const auto number = [](int32_t i) { return static_cast<float>(i * 7 % 13 - 6) / 4.0f; };  // exact in both types
    const auto bits = [&](int32_t i) { return element == Element::kBf16 ? Bf16OfFloat(number(i)) : F16OfFloat(number(i)); };
    std::array<uint16_t, kCols * kInputs + kRows * kInputs> values;
    for (int32_t i = 0; i < static_cast<int32_t>(values.size()); ++i) values[i] = bits(i);
    auto* base = static_cast<uint8_t*>(memory);
    std::array<float, kRows * kCols> y{};
    Launcher launcher{.stream = stream};
    // In the product's own stream, which waits for no other.
    good = cudaMemcpyAsync(base, values.data(), sizeof(values), cudaMemcpyHostToDevice, stream) == cudaSuccess &&
           cudaMemsetAsync(base + sizeof(values), 0xff, kYBytes, stream) == cudaSuccess &&
           Gemm(launcher, element,
                {.weight = base,
                 .weight_stride = kInputs,
                 .x = base + kWeightBytes,
                 .x_stride = kInputs,
                 .y = base + sizeof(values),
                 .rows = kRows,
                 .cols = kCols,
                 .inputs = kInputs}) &&
           cudaStreamSynchronize(stream) == cudaSuccess &&
           cudaMemcpy(y.data(), base + sizeof(values), kYBytes, cudaMemcpyDeviceToHost) == cudaSuccess;
    for (int32_t row = 0; good && row < kRows; ++row) {
      for (int32_t col = 0; col < kCols; ++col) {
        double sum = 0;
        for (int32_t k = 0; k < kInputs; ++k) {
          sum += double{number(col * kInputs + k)} * number(kCols * kInputs + row * kInputs + k);
        }
        good = good && std::abs(y[row * kCols + col] - sum) < 1e-3;
      }
    }
  }
  if (stream != nullptr) cudaStreamDestroy(stream);
  cudaFree(memory);
  plans_.clear();
  if (!good) *reason = Format("%s does not multiply as it should", name_.c_str());
  return good;
}

}  // namespace chorale::cuda
