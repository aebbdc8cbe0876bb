#include "cuda/lab.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "kernels/exchange.h"
#include "kernels/gemm.h"

namespace chorale::cuda {

Launcher MakeLauncher(int32_t device) {
  cudaDeviceProp properties{};
  Must(cudaGetDeviceProperties(&properties, device), "no device");
  Must(cudaSetDevice(device), "device");
  Launcher launcher;
  launcher.sm_count = properties.multiProcessorCount;
  launcher.sm_major = properties.major;
  launcher.overlap = true;
  Must(cudaStreamCreateWithFlags(&launcher.stream, cudaStreamNonBlocking), "stream");
  return launcher;
}

Lab::Lab() : launcher(MakeLauncher(0)) {
  cudaDeviceProp properties{};
  Must(cudaGetDeviceProperties(&properties, 0), "no device");
  device = properties.name;
}

Launcher Lab::MakeShardLauncher() const {
  Launcher own = launcher;
  own.overlap = false;
  Must(cudaStreamCreateWithFlags(&own.stream, cudaStreamNonBlocking), "stream");
  return own;
}

std::vector<Half> Lab::NormalHalves(Element element, int64_t count, double deviation) {
  std::vector<Half> values(static_cast<size_t>(count));
  for (Half& value : values) value = Round(element, Normal(deviation));
  return values;
}

std::vector<float> Lab::NormalFloats(int64_t count, double deviation) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(Normal(deviation));
  return values;
}

void Lab::Finish(const char* what) {
  Must(launcher.error, what);
  Must(cudaStreamSynchronize(launcher.stream), what);
  Must(cudaGetLastError(), what);
}

void Lab::Compare(const std::string& name, const std::vector<double>& got, const std::vector<double>& want,
                  double limit) {
  ++checks_;
  double error = 0, norm = 0, largest = -1;
  size_t at = 0, bad = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::abs(got[i] - want[i]);
    if (!std::isfinite(got[i])) ++bad;
    if (!(difference <= largest)) {
      largest = difference;
      at = i;
    }
    error += difference * difference;
    norm += want[i] * want[i];
  }
  const double relative = std::sqrt(error / std::max(norm, 1e-300));
  if (got.size() == want.size() && bad == 0 && relative <= limit) return;
  ++failures_;
  std::printf("FAILED %s: relative error %.2e (limit %.0e), %zu not finite of %zu, at %zu got %g want %g\n",
              name.c_str(), relative, limit, bad, want.size(), at, got[at], want[at]);
}

void Lab::Expect(const std::string& name, bool good) {
  ++checks_;
  if (good) return;
  ++failures_;
  std::printf("FAILED %s\n", name.c_str());
}

bool Lab::ExpectPatience(const std::string& name, const DeviceArray<uint32_t>& state) {
  const uint32_t ended = state.Download()[0];
  const std::string missed = ended < kExchangeMissed ? "nobody" : "shard " + std::to_string(WhoWasMissed(ended));
  Expect(name + ": a shard has given up waiting for what " + missed + " was to send; no sum was compared", ended == 0);
  return ended == 0;
}

double Lab::Microseconds(int32_t count, const std::function<void()>& body) {
  body();  // loads the module's code outside the capture
  Finish("warm-up");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  Must(cudaStreamBeginCapture(launcher.stream, cudaStreamCaptureModeRelaxed), "capture");
  body();
  Must(cudaStreamEndCapture(launcher.stream, &graph), "end of capture");
  Must(launcher.error, "captured launches");
  Must(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
  cudaEvent_t begin = nullptr, end = nullptr;
  Must(cudaEventCreate(&begin), "event");
  Must(cudaEventCreate(&end), "event");
  std::vector<double> times;
  for (int32_t i = 0; i < 12; ++i) {
    Must(cudaEventRecord(begin, launcher.stream), "record");
    Must(cudaGraphLaunch(executable, launcher.stream), "graph launch");
    Must(cudaEventRecord(end, launcher.stream), "record");
    Finish("replay");
    float milliseconds = 0;
    Must(cudaEventElapsedTime(&milliseconds, begin, end), "elapsed");
    if (i >= 3) times.push_back(milliseconds * 1e3 / count);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  std::sort(times.begin(), times.end());
  times_ = times;
  return times[times.size() / 2];
}

std::string Lab::Roofs() const {
  char text[64];
  std::snprintf(text, sizeof(text), "read bandwidth %.3f TB/s", read_bandwidth / 1e12);
  return text;
}

void Lab::Record(const std::string& benchmark, const std::string& settings, double target) const {
  if (history == nullptr) return;
  Figure figure{benchmark, settings, "ms", times_, target, Roofs()};
  for (double& time : figure.values) time /= 1e3;
  history->Record(std::move(figure));
}

void Lab::RecordRate(const std::string& benchmark, const std::string& settings, const std::string& unit, double count,
                     double target) const {
  if (history == nullptr) return;
  Figure figure{benchmark, settings, unit, times_, target, Roofs()};
  for (double& time : figure.values) time = count / time * 1e6;
  history->Record(std::move(figure));
}

double ProductValue(const Product& shape, const std::vector<float>& data, int64_t row, int32_t col) {
  std::set<uint32_t> blocks;
  const auto tile = static_cast<uint32_t>(col / kProductTile);
  for (uint32_t unit = tile * shape.units_per_tile; unit < (tile + 1) * shape.units_per_tile; ++unit) {
    blocks.insert(unit / shape.units_per_block);
  }
  double sum = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    sum += data[static_cast<size_t>(static_cast<int64_t>(i) * shape.partial_stride + row * shape.cols + col)];
  }
  return sum;
}

RandomProduct::RandomProduct(Lab& lab, int32_t rows, int32_t cols, int32_t inputs, int32_t blocks)
    : host(lab.NormalFloats(static_cast<int64_t>(kProductPartialsMax) * rows * cols, 1.0)), device(host) {
  const ProductPlan plan = PlanProduct(cols, inputs, blocks);
  product = {device.data(), static_cast<int64_t>(rows) * cols, cols, plan.units_per_tile, plan.units_per_block};
}

std::vector<float2> RandomRotation(Lab& lab, int32_t count) {
  std::vector<float2> rotation;
  for (int32_t i = 0; i < count; ++i) {
    const double angle = lab.Normal(3.0);
    rotation.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
  }
  return rotation;
}

namespace {

std::vector<int32_t> RandomPages(Lab& lab, int32_t rows, int32_t page_tokens) {
  std::vector<int32_t> order((rows + page_tokens - 1) / page_tokens), row_pages(rows);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), lab.random);
  for (int32_t row = 0; row < rows; ++row) row_pages[row] = order[row / page_tokens];
  return row_pages;
}

std::vector<int32_t> Positions(int32_t rows) {
  std::vector<int32_t> positions(rows);
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

}  // namespace

RandomRows::RandomRows(Lab& lab, int32_t rows, int32_t pairs, int32_t page_tokens)
    : rotation(RandomRotation(lab, rows * pairs)),
      row_pages(RandomPages(lab, rows, page_tokens)),
      device_rotation(rotation),
      device_positions(Positions(rows)),
      device_row_pages(row_pages) {}

}  // namespace chorale::cuda
