// Sums over shards: checked on one device, where each shard has a stream, and timed on two.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <thread>

#include "backend/cuda/nccl.h"
#include "backend/cuda/peer_exchange.h"
#include "cuda/lab.h"
#include "kernels/layer_ops.h"
#include "shard/shard_group.h"

namespace chorale::cuda {
namespace {

// One of several shards that share the lab's device.
struct LabShard {
  LabShard(Lab& lab, int32_t rows, int32_t hidden, const std::vector<float>& residual_of_all, const std::vector<float>& norm_of_all)
      : delta(lab, rows, hidden, 4096, 132),
        bias(lab.NormalFloats(hidden, 1.0)),
        d_bias(bias),
        residual(residual_of_all),
        norm(norm_of_all),
        out(int64_t{rows} * hidden) {
    launcher = lab.MakeShardLauncher();
  }
  ~LabShard() { cudaStreamDestroy(launcher.stream); }

  Launcher launcher;
  RandomProduct delta;
  std::vector<float> bias;
  DeviceArray<float> d_bias, residual, norm;
  DeviceArray<Half> out;
};

AddNormArgs ArgsOf(LabShard& shard, int32_t hidden, const Exchange& exchange) {
  AddNormArgs args;
  args.residual = shard.residual.data();
  args.delta = shard.delta.product;
  args.delta_bias = shard.d_bias.data();
  args.exchange = exchange;
  args.norm = shard.norm.data();
  args.out = shard.out.data();
  args.hidden = args.hidden_real = hidden;
  args.eps = 1e-5f;
  return args;
}

// How many blocks of a row each are resident together, at the least.
int32_t ResidentRows(const Lab& lab, int32_t hidden) {
  constexpr int32_t kThreadsMax = 1024;
  return lab.launcher.sm_count * (kThreadsMax / std::min((hidden / 4 + 31) / 32 * 32, kThreadsMax));
}

// Shards that share a device must be resident together, which those on devices of their own are: a row that waits keeps
// its place until the other shards' have come.
void CheckSums(Lab& lab, Element element, int32_t count, int32_t rows_wanted, int32_t hidden) {
  const int32_t rows = std::min(rows_wanted, ResidentRows(lab, hidden) / count);
  const std::vector<float> residual = lab.NormalFloats(int64_t{rows} * hidden, 2.0), norm = lab.NormalFloats(hidden, 1.0);
  std::vector<std::unique_ptr<LabShard>> shards;
  const int64_t part_words = int64_t{rows} * hidden / 2;
  std::vector<std::unique_ptr<DeviceArray<uint32_t>>> inboxes;  // of each shard, two
  DeviceArray<uint32_t> state(std::vector<uint32_t>(1, 0));
  for (int32_t s = 0; s < count; ++s) {
    shards.push_back(std::make_unique<LabShard>(lab, rows, hidden, residual, norm));
    inboxes.push_back(std::make_unique<DeviceArray<uint32_t>>(std::vector<uint32_t>(2 * count * part_words, kEmptyWord)));
  }
  constexpr int32_t kSums = 5;  // both inboxes are used again
  for (int32_t sum = 0; sum < kSums; ++sum) {
    for (int32_t s = 0; s < count; ++s) {
      Exchange exchange{.part_words = part_words, .shard = s, .shards = count, .state = state.data(), .patience_nanos = kLabPatienceNanos};
      for (int32_t i = 0; i < count; ++i) exchange.inboxes[i] = inboxes[i]->data() + sum % 2 * count * part_words;
      AddNorm(shards[s]->launcher, element, rows, ArgsOf(*shards[s], hidden, exchange));
    }
  }
  for (const auto& shard : shards) {
    Must(shard->launcher.error, "add_norm over shards");
    Must(cudaStreamSynchronize(shard->launcher.stream), "add_norm over shards");
  }
  const std::string name = "sum over " + std::to_string(count) + " shards, H=" + std::to_string(hidden) + ", " + std::to_string(rows) + " rows";
  if (!lab.ExpectPatience(name, state)) return;
  std::vector<double> sums, want;
  for (int32_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (int32_t i = 0; i < hidden; ++i) {
      double delta = 0;
      for (const auto& shard : shards) {
        delta += Widen(element, Round(element, ProductValue(shard->delta.product, shard->delta.host, row, i) + shard->bias[i]));
      }
      sums.push_back(residual[row * hidden + i] + kSums * delta);
      squares += sums.back() * sums.back();
    }
    for (int32_t i = 0; i < hidden; ++i) {
      want.push_back(sums[row * hidden + i] / std::sqrt(squares / hidden + 1e-5) * norm[i]);
    }
  }
  const std::vector<float> first = shards[0]->residual.Download();
  // A share on the edge between two 16-bit numbers may be rounded to either.
  lab.Compare(name + " residual", Widened(first), sums, 2e-3);
  lab.Compare(name, Widened(element, shards[0]->out.Download()), want, 4e-3);
  for (const auto& shard : shards) {
    const std::vector<float> other = shard->residual.Download();
    lab.Expect(name + ": the same bits on all", std::memcmp(other.data(), first.data(), first.size() * 4) == 0);
  }
  for (const auto& inbox : inboxes) {
    const std::vector<uint32_t> words = inbox->Download();
    lab.Expect(name + ": inboxes are empty", std::all_of(words.begin(), words.end(), [](uint32_t w) { return w == kEmptyWord; }));
  }
}

// Whatever numbers are added up, none is taken for one that has not come: no NaN of any bits, nor what overflows when it is
// rounded. half: the product has 16 bits.
void CheckNumbers(Lab& lab, Element element, bool half) {
  constexpr int32_t kShards = 2, kRows = 2, kCols = 256;
  constexpr int64_t kCount = kRows * kCols;
  constexpr uint32_t kNumbers[] = {0xffffffff, 0x7fffffff, 0x7f800001, 0xffff0000, 0x7f800000, 0xff800000,
                                   0x7f7fffff, 0xff7fffff, 0x80000000, 0x00000000, 0x3f800000};
  constexpr uint32_t kHalfNumbers[] = {0xffff, 0x7fff, 0xfe00, 0x7c00, 0xfc00, 0x7f80, 0xff80, 0x8000, 0x0000, 0x3c00, 0x0001};
  constexpr auto kKinds = static_cast<int64_t>(std::size(kNumbers));
  static_assert(std::size(kHalfNumbers) == kKinds && kKinds * kKinds <= kCount);
  const auto number = [&](int32_t shard, int64_t i) { return (shard == 0 ? i : i / kKinds) % kKinds; };

  struct One {
    One(Lab& lab, const std::vector<uint32_t>& words, bool half_of_it) : launcher(lab.MakeShardLauncher()), shares(words) {
      product = {shares.data(), kCount, kCols, 1, 1, half_of_it};
    }
    ~One() { cudaStreamDestroy(launcher.stream); }
    Launcher launcher;
    DeviceArray<uint32_t> shares, inbox{std::vector<uint32_t>(kShards * kCount / 2, kEmptyWord)};
    Product product;
  };
  std::vector<std::unique_ptr<One>> shards;
  std::vector<double> rounded[kShards];
  for (int32_t s = 0; s < kShards; ++s) {
    std::vector<uint32_t> words(static_cast<size_t>(half ? kCount / 2 : kCount), 0);
    for (int64_t i = 0; i < kCount; ++i) {
      if (half) {
        words[i / 2] |= kHalfNumbers[number(s, i)] << i % 2 * 16;
        rounded[s].push_back(Widen(element, static_cast<Half>(kHalfNumbers[number(s, i)])));
      } else {
        words[i] = kNumbers[number(s, i)];
        rounded[s].push_back(Widen(element, Round(element, std::bit_cast<float>(words[i]))));
      }
    }
    shards.push_back(std::make_unique<One>(lab, words, half));
  }
  DeviceArray<uint32_t> state(std::vector<uint32_t>(1, 0));
  Exchange exchange{.part_words = kCount / 2, .shards = kShards, .state = state.data(), .patience_nanos = kLabPatienceNanos};
  for (int32_t s = 0; s < kShards; ++s) exchange.inboxes[s] = shards[s]->inbox.data();
  for (exchange.shard = 0; exchange.shard < kShards; ++exchange.shard) {
    One& own = *shards[exchange.shard];
    SumShards(own.launcher, element, kRows, own.product, nullptr, exchange);
    Must(own.launcher.error, "sum of odd numbers");
  }
  for (const auto& shard : shards) Must(cudaStreamSynchronize(shard->launcher.stream), "sum of odd numbers");
  const std::string name = std::string("sum of odd numbers of ") + (half ? "16" : "32") + " bits";
  if (!lab.ExpectPatience(name, state)) return;
  for (const auto& shard : shards) {
    const std::vector<uint32_t> got = shard->shares.Download();
    int64_t wrong = 0;
    for (int64_t i = 0; i < kCount; ++i) {
      double sum = rounded[0][i] + rounded[1][i];
      if (half) sum = Widen(element, Round(element, sum));
      const double value = half ? Widen(element, static_cast<Half>(got[i / 2] >> i % 2 * 16)) : std::bit_cast<float>(got[i]);
      const bool same = std::isnan(sum) ? std::isnan(value) : value == sum;
      if (!same && wrong++ == 0) std::printf("  %g and %g: %g instead of %g\n", rounded[0][i], rounded[1][i], value, sum);
    }
    lab.Expect(name, wrong == 0);
    lab.Expect(name + ": the inbox is empty", std::ranges::all_of(shard->inbox.Download(), [](uint32_t w) { return w == kEmptyWord; }));
  }
}

// A shard that waits for one that never sends goes on after its patience, and says for whom it has waited.
void CheckPatience(Lab& lab) {
  const int32_t rows = 3, hidden = 256;
  const std::vector<float> residual = lab.NormalFloats(int64_t{rows} * hidden, 2.0), norm = lab.NormalFloats(hidden, 1.0);
  LabShard shard(lab, rows, hidden, residual, norm);
  const int64_t part_words = int64_t{rows} * hidden / 2;
  DeviceArray<uint32_t> own(std::vector<uint32_t>(2 * part_words, kEmptyWord)), other(std::vector<uint32_t>(2 * part_words, kEmptyWord));
  DeviceArray<uint32_t> state(std::vector<uint32_t>(1, 0));
  const Exchange exchange{.inboxes = {other.data(), own.data()}, .part_words = part_words, .shard = 1, .shards = 2, .state = state.data(), .patience_nanos = 20'000'000};
  AddNorm(shard.launcher, Element::kBf16, rows, ArgsOf(shard, hidden, exchange));
  Must(cudaStreamSynchronize(shard.launcher.stream), "a shard alone");
  lab.Expect("a shard that waits in vain says for whom", state.Download()[0] == MissedState(1, 0));
}

// ---- two devices ----------------------------------------------------------------------------------------------------

constexpr int32_t kDevices = 2, kHidden = 4096, kRowsMax = 512, kChain = 64;

// One device of two, driven by a thread of its own.
struct Device {
  Device(ShardGroup& group, int32_t index) : shard{.index = index, .count = kDevices, .group = &group} {
    launcher = MakeLauncher(index);
    residual = std::make_unique<DeviceArray<float>>(int64_t{kRowsMax} * kHidden);
    delta = std::make_unique<DeviceArray<float>>(int64_t{kRowsMax} * kHidden);
    norm = std::make_unique<DeviceArray<float>>(kHidden);
    out = std::make_unique<DeviceArray<Half>>(int64_t{kRowsMax} * kHidden);
    for (auto* array : {residual.get(), delta.get(), norm.get()}) {
      Must(cudaMemset(array->data(), 0, static_cast<size_t>(array->size()) * 4), "zeros");
    }
    Must(cudaDeviceSynchronize(), "zeros");
  }

  // Microseconds of one of a chain, replayed; the same on all devices.
  double Time(const std::function<void()>& chain) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    chain();
    Must(cudaStreamSynchronize(launcher.stream), "warm-up");
    shard.group->Meet(shard.index, nullptr);
    Must(cudaStreamBeginCapture(launcher.stream, cudaStreamCaptureModeThreadLocal), "capture");
    chain();
    Must(cudaStreamEndCapture(launcher.stream, &graph), "end of capture");
    Must(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    std::vector<double> times;
    for (int32_t i = 0; i < 12; ++i) {
      cudaEvent_t begin = nullptr, end = nullptr;
      Must(cudaEventCreate(&begin), "event");
      Must(cudaEventCreate(&end), "event");
      shard.group->Meet(shard.index, nullptr);
      Must(cudaEventRecord(begin, launcher.stream), "record");
      Must(cudaGraphLaunch(executable, launcher.stream), "launch");
      Must(cudaEventRecord(end, launcher.stream), "record");
      Must(cudaStreamSynchronize(launcher.stream), "chain");
      float milliseconds = 0;
      Must(cudaEventElapsedTime(&milliseconds, begin, end), "elapsed");
      if (i >= 3) times.push_back(milliseconds * 1e3 / kChain);
      cudaEventDestroy(begin);
      cudaEventDestroy(end);
    }
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    std::sort(times.begin(), times.end());
    last_times = times;
    return times[times.size() / 2];
  }

  Shard shard;
  Launcher launcher;
  std::unique_ptr<DeviceArray<float>> residual, delta, norm;
  std::unique_ptr<DeviceArray<Half>> out;
  std::vector<double> last_times;  // microseconds of one, as Time() found them last
};

void BenchOf(const Lab& lab, ShardGroup& group, int32_t index) {
  Device device(group, index);
  Result<std::unique_ptr<PeerExchange>> peers = PeerExchange::Connect(device.shard, {.sum_rows = kRowsMax, .sum_cols = kHidden}, device.launcher.stream);
  if (!peers.ok() || peers.value() == nullptr) {
    if (index == 0) std::printf("  no exchange: %s\n", peers.ok() ? "no peer access" : peers.status().message().c_str());
    return;
  }
  Result<std::unique_ptr<NcclCommunicator>> nccl = NcclCommunicator::Connect(device.shard, device.launcher.stream);
  if (!nccl.ok() && index == 0) std::printf("  %s\n", nccl.status().message().c_str());
  for (const int32_t rows : {1, 4, 8, 16, 32, 64, 128, 256, 512}) {
    AddNormArgs args;
    args.residual = device.residual->data();
    args.delta = {device.delta->data(), int64_t{rows} * kHidden, kHidden, 1, 1};
    args.norm = device.norm->data();
    args.out = device.out->data();
    args.hidden = args.hidden_real = kHidden;
    args.eps = 1e-5f;
    const auto norms = [&](bool sums) {
      for (int32_t i = 0; i < kChain; ++i) {
        args.exchange = sums ? peers.value()->NextSum() : Exchange{};
        AddNorm(device.launcher, Element::kBf16, rows, args);
      }
    };
    const auto record = [&](const char* benchmark) {
      if (index != 0 || lab.history == nullptr) return;
      const std::string settings = "2 shards, " + std::to_string(rows) + " rows of " + std::to_string(kHidden) + " bf16";
      lab.history->Record({benchmark, settings, "us", device.last_times, 0, ""});
    };
    const double alone = device.Time([&] { norms(false); });
    record("norm");
    const double summed = device.Time([&] { norms(true); });
    record("sum-and-norm");
    double library = 0;
    if (nccl.ok()) {
      library = device.Time([&] {
        for (int32_t i = 0; i < kChain; ++i) {
          nccl.value()->AllReduce(kSumHidden, {.data = device.out->data(), .element = kBF16, .rows = rows, .cols = kHidden, .stride = kHidden});
        }
      });
      record("sum-by-nccl");
    }
    Must(device.launcher.error, "launches");
    peers.value()->Check();
    if (index == 0) {
      std::printf("  %4d rows, %7.0f KiB: sum and norm %6.2f us, norm alone %6.2f, so the sum %6.2f; NCCL's sum %6.2f\n", rows,
                  rows * kHidden * 2 / 1024.0, summed, alone, summed - alone, library);
      std::fflush(stdout);
    }
  }
}

}  // namespace

void CheckExchange(Lab& lab) {
  for (const Element element : {Element::kBf16, Element::kF16}) {
    for (const auto& [count, rows, hidden] : {std::tuple{2, 1, 4096}, {2, 37, 4096}, {2, 200, 192}, {3, 7, 8192}, {4, 40, 5120}, {5, 3, 8}, {16, 2, 72}}) {
      CheckSums(lab, element, count, rows, hidden);
    }
    for (const bool half : {false, true}) CheckNumbers(lab, element, half);
  }
  CheckPatience(lab);
}

void BenchExchange(Lab& lab) {
  int devices = 0;
  Must(cudaGetDeviceCount(&devices), "devices");
  if (devices < kDevices) {
    std::printf("sums over shards: not timed, as there is one device\n");
    return;
  }
  std::printf("\nsums over two shards, %d in a chain, replayed:\n", kChain);
  ShardGroup group(kDevices);
  std::thread other([&] { BenchOf(lab, group, 1); });
  BenchOf(lab, group, 0);
  other.join();
  Must(cudaSetDevice(0), "device");
}

}  // namespace chorale::cuda
