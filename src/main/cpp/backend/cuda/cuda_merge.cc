// Merging an adapter into copies of weights, or into the weights themselves.
#include "backend/cuda/cuda_backend.h"

namespace chorale::cuda {
namespace {

// Adapters that have been measured change 1 to 8 % of the weights for good. The log of a small model holds all of them.
constexpr int64_t kLoggedPart = 10;
constexpr int64_t kLogBytesLeast = int64_t{256} << 20;

struct CudaMergeUndo final : MergeUndo {
  LogEntries log;
};

}  // namespace

Status CudaBackend::ReserveMergeLog() {
  int64_t weights = 0;
  for (int32_t t = 0; t < kTargets; ++t) {
    const auto target = static_cast<Target>(t);
    weights += int64_t{spec_.layers} * InWidth(spec_, target) * OutWidth(spec_, target);
  }
  const int64_t whole = weights * LogEntries::kEntryBytes;
  return merge_log_.Reserve(std::max(whole / kLoggedPart, std::min(2 * whole, kLogBytesLeast)));
}

// Throws where there is no memory for so small a table: other shards may be on their way to a collective.
void CudaBackend::PlaceMergePages(const ResidentAdapter& adapter) {
  static const std::vector<int32_t> kOnePage = {0};  // of what GatherFactors puts together
  const std::vector<int32_t>& pages = shard_.cuts_both_factors() ? kOnePage : adapter.pages;
  if (pages == placed_merge_pages_) return;
  placed_merge_pages_ = pages;
  merge_tables_.Begin();
  merge_tables_.Add(placed_merge_pages_, &merge_pages_);
  const Status placed = merge_tables_.Place(launcher_.stream);
  if (!placed.ok()) {
    placed_merge_pages_.clear();
    throw std::runtime_error(placed.message());
  }
  merge_tables_.Send(launcher_.stream, 0);
}

// One launch for each part of the weight that the adapter touches; `args` says what is done.
void CudaBackend::LaunchMerge(const MergeParams& params, const DeviceMemory& weight, LoraMergeArgs args) {
  const CudaMatrix& base = Matrix(params.base);
  PlaceMergePages(*params.adapter);
  loader_->WaitForLayer(params.adapter->slot, params.layer, launcher_.stream);
  args.pool = {pool_.data(), geometry_.page_bytes, static_cast<uint32_t>(geometry_.slice_bytes)};
  args.pages = merge_pages_;
  args.layer = params.layer;
  args.scale = params.scale;
  args.stride = base.stride;
  args.inputs = static_cast<int32_t>(base.cols());
  for (const MergeParams::Part& part : params.parts) {
    const LoraMatrices& m = params.adapter->layout->at(params.layer, part.target);
    args.matrix = {static_cast<uint32_t>(m.a.offset), static_cast<uint32_t>(m.b.offset), m.rank(), m.scale};
    args.weight = weight.data();
    args.row_begin = part.row_begin;
    args.outputs = m.b.columns;
    if (m.rank() == 0) continue;
    if (shard_.cuts_both_factors()) GatherFactors(*params.adapter, params.layer, part.target, &args);
    LoraMerge(launcher_, element_, args);
  }
}

Result<std::unique_ptr<Weight>> CudaBackend::MakeShadow(const Weight& weight) {
  const CudaMatrix& base = Matrix(&weight);
  Result<DeviceMemory> memory = DeviceMemory::Allocate(base.memory.bytes(), "shadow weights");
  if (!memory.ok()) return memory.status();
  auto shadow = std::make_unique<CudaMatrix>(base.rows(), base.cols(), std::move(memory).value());
  FinishMatrix(shadow.get());
  return std::unique_ptr<Weight>(std::move(shadow));
}

void CudaBackend::Merge(const MergeParams& params, Weight& shadow) {
  const DeviceMemory &base = Matrix(params.base).memory, &copy = Matrix(&shadow).memory;
  Check(cudaMemcpyAsync(copy.data(), base.data(), static_cast<size_t>(base.bytes()), cudaMemcpyDeviceToDevice, launcher_.stream),
        "shadow weights");
  LaunchMerge(params, copy, {});
  Check(launcher_.error, "shadow weights");
}

// Counts what it logs from the beginning.
void CudaBackend::LaunchLoggedMerge(const MergeParams& params, LoraMergeArgs args) {
  args.log_count = merge_count_.as<uint32_t>();
  Check(cudaMemsetAsync(merge_count_.data(), 0, 4, launcher_.stream), "a merge");
  LaunchMerge(params, Matrix(params.base).memory, args);
}

Result<std::unique_ptr<MergeUndo>> CudaBackend::PrepareMergeInPlace(const MergeParams& params) {
  if (Matrix(params.base).memory.bytes() / 2 > UINT32_MAX) return Status::Invalid("a weight is too large to be merged in place");
  LaunchLoggedMerge(params, {.mode = MergeMode::kCount});
  uint32_t count = 0;
  Check(cudaMemcpyAsync(&count, merge_count_.data(), 4, cudaMemcpyDeviceToHost, launcher_.stream), "a merge");
  Finish("a merge");
  auto undo = std::make_unique<CudaMergeUndo>();
  Result<LogEntries> log = merge_log_.Take(count);
  if (!log.ok()) return log.status();
  undo->log = std::move(log).value();
  return std::unique_ptr<MergeUndo>(std::move(undo));
}

void CudaBackend::MergeInPlace(const MergeParams& params, const MergeUndo& undo) {
  const LogEntries& log = static_cast<const CudaMergeUndo&>(undo).log;
  measure_->BeginMerge(params.base);
  LaunchLoggedMerge(params, {.mode = MergeMode::kLog, .log_places = log.places(), .log_bits = log.bits()});
}

void CudaBackend::Unmerge(const MergeParams& params, const MergeUndo& undo) {
  const LogEntries& log = static_cast<const CudaMergeUndo&>(undo).log;
  LaunchMerge(params, Matrix(params.base).memory, {.mode = MergeMode::kUnmerge});
  RestoreWeights(launcher_, Matrix(params.base).memory.data(), log.places(), log.bits(), log.count());
  measure_->EndMerge(params.base, launcher_.stream);
}

void CudaBackend::MergeAgain(const MergeParams& params) {
  measure_->BeginMerge(params.base);
  LaunchMerge(params, Matrix(params.base).memory, {});
}

}  // namespace chorale::cuda
