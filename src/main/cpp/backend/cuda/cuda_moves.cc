// Moves of a step: pages, and shadow weights.
#include "backend/cuda/cuda_backend.h"

namespace chorale::cuda {

void CudaBackend::PoisonPages(std::span<const int32_t> pages) {
  for (int32_t page : pages) {
    Check(cudaMemsetAsync(Slice(page, 0), 0xff, static_cast<size_t>(geometry_.page_bytes), launcher_.stream), "poison");
  }
  loader_->WaitFor(launcher_.stream);  // the next adapter in these pages comes after
}

void CudaBackend::CopyPage(int32_t from, int32_t to) {
  Check(cudaMemcpyAsync(Slice(to, 0), Slice(from, 0), static_cast<size_t>(geometry_.page_bytes),
                        cudaMemcpyDeviceToDevice, launcher_.stream),
        "a page's copy");
}

void CudaBackend::ReadPage(int32_t page, uint8_t* out) {
  Check(cudaMemcpyAsync(out, Slice(page, 0), static_cast<size_t>(geometry_.page_bytes), cudaMemcpyDeviceToHost,
                        launcher_.stream),
        "a page's export");
  Finish("a page's export");
}

void CudaBackend::WritePage(int32_t page, const uint8_t* bytes) {
  Check(cudaMemcpyAsync(Slice(page, 0), bytes, static_cast<size_t>(geometry_.page_bytes), cudaMemcpyHostToDevice,
                        launcher_.stream),
        "a page's import");
  Finish("a page's import");
}

void CudaBackend::ResetCounts(int32_t scratch) {
  if (counts_.bytes() == 0) return;
  const size_t bytes = size_t{4} * spec_.vocab;
  Check(cudaMemsetAsync(counts_.data() + static_cast<size_t>(scratch) * bytes, 0, bytes, launcher_.stream), "counts");
}

Result<std::unique_ptr<Weight>> CudaBackend::Merge(const MergeParams& params) {
  const CudaMatrix& base = Matrix(params.base);
  Result<DeviceMemory> memory = DeviceMemory::Allocate(base.memory.bytes(), "shadow weights");
  if (!memory.ok()) return memory.status();
  auto shadow = std::make_unique<CudaMatrix>(base.rows(), base.cols(), std::move(memory).value());
  Check(cudaMemcpyAsync(shadow->memory.data(), base.memory.data(), static_cast<size_t>(base.memory.bytes()),
                        cudaMemcpyDeviceToDevice, launcher_.stream),
        "shadow weights");
  LoraMergeArgs args;
  args.pool = {pool_.data(), geometry_.page_bytes, static_cast<uint32_t>(geometry_.slice_bytes)};
  args.layer = params.layer;
  args.scale = params.scale;
  args.stride = base.stride;
  args.inputs = static_cast<int32_t>(base.cols());
  loader_->WaitForLayer(params.adapter->slot, params.layer, launcher_.stream);
  merge_tables_.Begin();
  merge_tables_.Add(params.adapter->pages, &args.pages);
  CHORALE_RETURN_IF_ERROR(merge_tables_.Place(launcher_.stream));
  merge_tables_.Send(launcher_.stream, 0);
  for (const MergeParams::Part& part : params.parts) {
    const LoraMatrices& m = params.adapter->layout->at(params.layer, part.target);
    args.matrix = {static_cast<uint32_t>(m.a.offset), static_cast<uint32_t>(m.b.offset), m.rank(), m.scale};
    args.weight = shadow->memory.data() + part.row_begin * base.stride * 2;
    args.outputs = m.b.columns;
    if (m.rank() > 0) LoraMerge(launcher_, element_, args);
  }
  Finish("shadow weights");
  FinishMatrix(shadow.get());
  return std::unique_ptr<Weight>(std::move(shadow));
}

}  // namespace chorale::cuda
