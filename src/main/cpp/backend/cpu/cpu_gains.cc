// What the gains of DoRA are made from: the lengths of the rows of W + s B A.
#include "backend/cpu/cpu_backend.h"

namespace chorale {

Status CpuBackend::AddRowSquares(const RowSquaresParams& params) {
  const int64_t cols = params.weight->cols();
  std::vector<float> row(static_cast<size_t>(cols));
  std::vector<double> sums(row.size());
  for (int64_t n = 0; n < std::ssize(params.squares); ++n) {
    ReadWeightRow(*params.weight, params.row_begin + n, row.data());
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t j = 0; j < params.rank; ++j) {
      const double factor = static_cast<double>(params.scale) * params.b[n * params.rank + j];
      const float* of_rank = params.a + j * params.a_stride;
      for (int64_t k = 0; k < cols; ++k) sums[k] += factor * of_rank[k];
    }
    for (int64_t k = 0; k < cols; ++k) params.squares[n] += (row[k] + sums[k]) * (row[k] + sums[k]);
  }
  return Status::Ok();
}

}  // namespace chorale
