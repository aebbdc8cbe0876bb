// Sums over two devices that run unevenly: while one waits the other is far behind, in turn, and every number is compared.
#include <chrono>
#include <mutex>
#include <numeric>
#include <thread>

#include "backend/cuda/peer_exchange.h"
#include "cuda/lab.h"
#include "kernels/layer_ops.h"
#include "kernels/probe.h"
#include "shard/shard_group.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kDevices = 2;
constexpr int32_t kDeltas = 7;            // in turn, so that no inbox holds what it held before
constexpr int32_t kSumsOfPass = 2 * kDeltas;
constexpr int32_t kRows[] = {1, 5, 40, 133, 300};  // of recorded passes: fewer and more than can be resident
constexpr int32_t kRowsMax = 300;
constexpr int32_t kPassesOfRound = 10;    // between two looks at the numbers
constexpr std::chrono::seconds kTime{2};
constexpr int64_t kDelayBytesMax = int64_t{96} << 20;  // read once: about 30 us

// What a shard adds: small whole numbers, so that sums are exact.
float DeltaOf(int32_t delta, int32_t shard, int64_t index) {
  uint64_t x = (static_cast<uint64_t>(index) * kDeltas + static_cast<uint64_t>(delta)) * kDevices + static_cast<uint64_t>(shard);
  x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
  return static_cast<float>((x >> 32) % 9) - 4.0f;
}

// What is wrong first.
struct Finding {
  std::mutex mutex;
  std::string text;
  bool none() {
    std::lock_guard lock(mutex);
    return text.empty();
  }
  void Say(const std::string& what) {
    std::lock_guard lock(mutex);
    if (text.empty()) text = what;
  }
};

class UnevenDevice {
 public:
  UnevenDevice(ShardGroup& group, int32_t index, int32_t hidden)
      : shard_{.index = index, .count = kDevices, .group = &group}, hidden_(hidden), random_(77 + index) {
    launcher_ = MakeLauncher(index);
    const int64_t count = int64_t{kRowsMax} * hidden;
    of_all_.assign(static_cast<size_t>(count), 0.0f);
    for (int32_t delta = 0; delta < kDeltas; ++delta) {
      std::vector<float> values(static_cast<size_t>(count));
      for (int64_t i = 0; i < count; ++i) {
        values[i] = DeltaOf(delta, index, i);
        for (int32_t s = 0; s < kDevices; ++s) of_all_[i] += DeltaOf(delta, s, i);
      }
      deltas_.push_back(std::make_unique<DeviceArray<float>>(values));
    }
    norm_ = std::make_unique<DeviceArray<float>>(std::vector<float>(static_cast<size_t>(hidden), 1.0f));
    residual_ = std::make_unique<DeviceArray<float>>(std::vector<float>(static_cast<size_t>(count), 0.0f));
    out_ = std::make_unique<DeviceArray<Half>>(count);
    delay_ = std::make_unique<DeviceArray<uint8_t>>(kDelayBytesMax);
    sink_ = std::make_unique<DeviceArray<uint32_t>>(1);
  }
  ~UnevenDevice() {
    for (cudaGraphExec_t graph : graphs_) cudaGraphExecDestroy(graph);
    cudaStreamDestroy(launcher_.stream);
  }

  bool Connect() {
    Result<std::unique_ptr<PeerExchange>> peers =
        PeerExchange::Connect(shard_, {.sum_rows = kRowsMax, .sum_cols = hidden_}, launcher_.stream);
    if (!peers.ok() || peers.value() == nullptr) return false;
    peers_ = std::move(peers).value();
    return true;
  }

  // As a model's: an even number of sums. Each device has delays of its own.
  void Pass(int32_t rows) {
    peers_->BeginPass();
    AddNormArgs args;
    args.residual = residual_->data();
    args.norm = norm_->data();
    args.out = out_->data();
    args.hidden = args.hidden_real = hidden_;
    args.eps = 1e-5f;
    for (int32_t sum = 0; sum < kSumsOfPass; ++sum) {
      Delay();
      args.delta = {deltas_[sum % kDeltas]->data(), int64_t{rows} * hidden_, hidden_, 1, 1};
      args.exchange = peers_->NextSum();
      AddNorm(launcher_, Element::kBf16, rows, args);
    }
  }

  void Record(int32_t rows) {
    cudaGraph_t graph = nullptr;
    Must(cudaStreamBeginCapture(launcher_.stream, cudaStreamCaptureModeThreadLocal), "capture");
    Pass(rows);
    Must(cudaStreamEndCapture(launcher_.stream, &graph), "end of capture");
    Must(launcher_.error, "captured launches");
    Must(cudaGraphInstantiate(&graphs_.emplace_back(), graph, 0), "instantiate");
    cudaGraphDestroy(graph);
  }

  // `common`: the same on both, so that they agree on what comes next.
  void Run(std::mt19937 common, Finding* finding) {
    std::vector<int64_t> passes(std::size(kRows), 0);
    const auto begin = std::chrono::steady_clock::now();
    for (bool goes_on = true; goes_on;) {
      for (int32_t pass = 0; pass < kPassesOfRound; ++pass) {
        const size_t kind = common() % std::size(kRows);
        ++passes[kind];
        if (common() % 8 == 0) {
          Pass(kRows[kind]);
        } else {
          Must(cudaGraphLaunch(graphs_[kind], launcher_.stream), "replay");
        }
      }
      Must(cudaStreamSynchronize(launcher_.stream), "uneven sums");
      Compare(passes, finding);
      const bool wants_more = finding->none() && std::chrono::steady_clock::now() - begin < kTime;
      goes_on = shard_.group->Tell(shard_.index, wants_more ? 1 : 0) == std::vector<int64_t>(kDevices, 1);
    }
    sums_ = kSumsOfPass * std::accumulate(passes.begin(), passes.end(), int64_t{0});
  }
  int64_t sums() const { return sums_; }

 private:
  void Delay() {
    const uint32_t kind = random_() % 4;  // often none
    if (kind < 2) return;
    const auto number = static_cast<int64_t>(random_());
    const int64_t bytes = kind == 2 ? (number % 32 + 1) << 16 : number % kDelayBytesMax;
    ReadOnce(launcher_, delay_->data(), bytes, sink_->data());
  }

  void Compare(const std::vector<int64_t>& passes, Finding* finding) {
    try {
      peers_->Check();
    } catch (const std::exception& error) {
      finding->Say(error.what());
      return;
    }
    const std::vector<float> got = residual_->Download();
    int64_t wrong = 0, at = -1;
    double want_there = 0;
    for (int32_t row = 0; row < kRowsMax; ++row) {
      double times = 0;
      for (size_t kind = 0; kind < passes.size(); ++kind) times += row < kRows[kind] ? static_cast<double>(2 * passes[kind]) : 0;
      for (int32_t col = 0; col < hidden_; ++col) {
        const int64_t i = int64_t{row} * hidden_ + col;
        if (got[i] == of_all_[i] * times) continue;
        if (wrong++ == 0) at = i, want_there = of_all_[i] * times;
      }
    }
    if (wrong == 0) return;
    finding->Say("GPU " + std::to_string(shard_.index) + ": " + std::to_string(wrong) +
                 " numbers are wrong, the first in row " + std::to_string(at / hidden_) + ", column " +
                 std::to_string(at % hidden_) + ": " + std::to_string(got[at]) + " instead of " + std::to_string(want_there));
  }

  const Shard shard_;
  const int32_t hidden_;
  std::mt19937 random_;
  std::vector<float> of_all_;  // of all deltas of all shards
  Launcher launcher_;
  std::vector<std::unique_ptr<DeviceArray<float>>> deltas_;
  std::unique_ptr<DeviceArray<float>> norm_, residual_;
  std::unique_ptr<DeviceArray<Half>> out_;
  std::unique_ptr<DeviceArray<uint8_t>> delay_;
  std::unique_ptr<DeviceArray<uint32_t>> sink_;
  std::unique_ptr<PeerExchange> peers_;
  std::vector<cudaGraphExec_t> graphs_;
  int64_t sums_ = 0;
};

void RunOn(ShardGroup& group, int32_t index, int32_t hidden, Finding* finding) {
  UnevenDevice device(group, index, hidden);
  if (!device.Connect()) {
    finding->Say("no exchange between the GPUs");
    return;
  }
  for (const int32_t rows : kRows) device.Record(rows);
  device.Run(std::mt19937(static_cast<uint32_t>(hidden)), finding);
  if (index == 0) std::printf("  %d columns: %lld sums\n", hidden, static_cast<long long>(device.sums()));
  Must(cudaDeviceSynchronize(), "uneven sums");
  group.Meet(index, nullptr);  // until then the other may write here
}

}  // namespace

void CheckUneven(Lab& lab) {
  int devices = 0;
  Must(cudaGetDeviceCount(&devices), "devices");
  if (devices < kDevices) {
    std::printf("sums over uneven devices: not checked, as there is one device\n");
    return;
  }
  for (const int32_t hidden : {192, 4096, 5120}) {
    ShardGroup group(kDevices);
    Finding finding;
    std::thread other([&] { RunOn(group, 1, hidden, &finding); });
    RunOn(group, 0, hidden, &finding);
    other.join();
    lab.Expect("sums over two uneven devices, H=" + std::to_string(hidden) + ": " + finding.text, finding.none());
    if (!finding.none()) break;  // each other would wait as long in vain
  }
  Must(cudaSetDevice(0), "device");
}

}  // namespace chorale::cuda
