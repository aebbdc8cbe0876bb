#include "testing/faulty_backend.h"

#include <atomic>
#include <stdexcept>

#include "backend/cpu/cpu_fast.h"

namespace chorale::testing {
namespace {

std::atomic<int32_t> faulty_shard{-1};
std::atomic<Fault> planted{Fault::kNone};

bool Has(int32_t shard, Fault fault) { return shard == faulty_shard && planted == fault; }

class FaultyBackend final : public FastBackend {
 public:
  static Result<std::unique_ptr<Backend>> Create(BackendParams params) {
    if (Has(params.shard.index, Fault::kPool)) params.pool_bytes /= 2;
    if (Has(params.shard.index, Fault::kNoPool)) return Lack("the page pool");
    const ModelSpec& spec = params.spec;
    Result<PageArena> arena = PageArena::Create(
        PageGeometry::Of(spec.layers, spec.kv_heads, spec.head_dim, kF32, params.page_tokens), params.pool_bytes);
    if (!arena.ok()) return arena.status();
    std::unique_ptr<FaultyBackend> backend(new FaultyBackend(params, std::move(arena).value()));
    CHORALE_RETURN_IF_ERROR(backend->Open());
    return std::unique_ptr<Backend>(std::move(backend));
  }

  Result<StagingMemory> AllocateStaging(int64_t bytes) override {
    if (Has(shard_.index, Fault::kStage)) return Lack("a staged adapter");
    return FastBackend::AllocateStaging(bytes);
  }
  void LoadAdapter(const AdapterLoad& load) override {
    MayThrow(Fault::kLoad, "a load");
    FastBackend::LoadAdapter(load);
  }
  Result<std::unique_ptr<Weight>> MakeShadow(const Weight& base) override {
    if (Has(shard_.index, Fault::kShadow)) return Lack("shadow weights");
    return FastBackend::MakeShadow(base);
  }
  void Merge(const MergeParams& params, Weight& shadow) override {
    if (params.layer == 1) MayThrow(Fault::kMerge, "a merge");
    FastBackend::Merge(params, shadow);
  }
  void WaitForSteps() override { MayThrow(Fault::kUnmerge, "unmerging"); }
  void ReadPage(int32_t page, uint8_t* out) override {
    MayThrow(Fault::kReadPage, "reading a page");
    FastBackend::ReadPage(page, out);
  }
  Status Prepare(const StepPlan& plan) override {
    if (Has(shard_.index, Fault::kPrepare)) return Lack("step tables");
    return FastBackend::Prepare(plan);
  }

 private:
  using FastBackend::FastBackend;

  static Status Lack(const char* purpose) { return Status::Exhausted(Format("%s: a planted lack of memory", purpose)); }
  void MayThrow(Fault fault, const char* what) const {
    if (Has(shard_.index, fault)) throw std::runtime_error(Format("%s: a planted failure of the device", what));
  }
};

}  // namespace
}  // namespace chorale::testing

extern "C" __attribute__((visibility("default"))) void chorale_plant_fault(int32_t shard, chorale::testing::Fault fault) {
  chorale::testing::faulty_shard = shard;
  chorale::testing::planted = fault;
}

extern "C" __attribute__((visibility("default"))) chorale::Backend* chorale_create_backend(
    int32_t, const chorale::BackendParams& params, chorale::Status* error) {
  chorale::Result<std::unique_ptr<chorale::Backend>> backend = chorale::testing::FaultyBackend::Create(params);
  if (backend.ok()) return std::move(backend).value().release();
  *error = backend.status();
  return nullptr;
}
