// Moves of a step: pages and token counts.
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

}  // namespace chorale::cuda
