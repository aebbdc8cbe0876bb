// What checks and benchmarks of kernels share: device arrays, rounding, comparison with a float64 reference, timing.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/gemm.h"
#include "kernels/launch.h"
#include "kernels/lora.h"
#include "tools/history.h"

namespace chorale::cuda {

inline void Must(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  std::fprintf(stderr, "kernel_lab: %s: %s\n", what, cudaGetErrorString(result));
  std::exit(1);
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t count) : count_(count) {
    Must(cudaMalloc(&data_, static_cast<size_t>(bytes())), "cudaMalloc");
    Must(cudaMemset(data_, 0xff, static_cast<size_t>(bytes())), "cudaMemset");  // NaN: what is not written shows
    Must(cudaStreamSynchronize(nullptr), "cudaMemset");                         // the kernels' streams do not wait for it
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(static_cast<int64_t>(values.size())) {
    Must(cudaMemcpy(data_, values.data(), static_cast<size_t>(count_) * sizeof(T), cudaMemcpyHostToDevice), "upload");
    Must(cudaStreamSynchronize(nullptr), "upload");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  int64_t size() const { return count_; }
  int64_t bytes() const { return (count_ > 0 ? count_ : 1) * static_cast<int64_t>(sizeof(T)); }
  std::vector<T> Download() const {
    std::vector<T> values(static_cast<size_t>(count_));
    Must(cudaMemcpy(values.data(), data_, static_cast<size_t>(count_) * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return values;
  }

 private:
  T* data_ = nullptr;
  int64_t count_;
};

using Half = uint16_t;  // the bits of an Element

inline Half Round(Element element, double value) {
  const auto f = static_cast<float>(value);
  if (element == Element::kBf16) return __bfloat16_as_ushort(__float2bfloat16_rn(f));
  return __half_as_ushort(__float2half_rn(f));
}
inline double Widen(Element element, Half bits) {
  return element == Element::kBf16 ? __bfloat162float(__ushort_as_bfloat16(bits)) : __half2float(__ushort_as_half(bits));
}

inline constexpr uint64_t kLabPatienceNanos = 10'000'000'000;  // of shards that wait for each other, as an engine's

// Overlapping launches on a stream of the device's own, to which the thread belongs from then on.
Launcher MakeLauncher(int32_t device);

class Lab {
 public:
  Lab();

  Launcher launcher;
  std::string device;
  double read_bandwidth = 0;  // bytes a second, measured by Bandwidth()
  std::mt19937_64 random{20260731};

  double Normal(double deviation) { return std::normal_distribution<double>(0, deviation)(random); }
  int32_t Uniform(int32_t low, int32_t high) { return std::uniform_int_distribution<int32_t>(low, high)(random); }
  std::vector<Half> NormalHalves(Element element, int64_t count, double deviation);
  std::vector<float> NormalFloats(int64_t count, double deviation);

  // For one of several shards that share the lab's device: a stream of its own, whose kernels follow each other strictly.
  // A kernel that is resident before the one before it has ended takes room from another shard's, for which that may wait.
  Launcher MakeShardLauncher() const;

  // Waits for the stream and stops at an error.
  void Finish(const char* what);

  // ||got - want|| / ||want|| at most `limit`; prints one line when it is not, and where the largest difference is.
  void Compare(const std::string& name, const std::vector<double>& got, const std::vector<double>& want, double limit);
  void Expect(const std::string& name, bool good);
  // Whether no shard has given up waiting: then what follows can be compared.
  bool ExpectPatience(const std::string& name, const DeviceArray<uint32_t>& state);
  int32_t checks() const { return checks_; }
  int32_t failures() const { return failures_; }

  // Writes what Microseconds() measured last, in milliseconds, or as `count` of something in a second, to the record of
  // figures, with the read bandwidth of this run. target: what it is to be held against, in the same unit.
  void Record(const std::string& benchmark, const std::string& settings, double target) const;
  void RecordRate(const std::string& benchmark, const std::string& settings, const std::string& unit, double count,
                  double target) const;
  std::unique_ptr<History> history;  // null: nothing is recorded
  int32_t batch = 0;                 // of whole steps; 0: all
  int32_t shards = 1;                // of whole steps: they are what one of so many has of the shape

  // Median microseconds of `body`, which launches `count` units of work, for one unit; captured in a graph and replayed.
  double Microseconds(int32_t count, const std::function<void()>& body);

 private:
  std::string Roofs() const;

  int32_t checks_ = 0;
  int32_t failures_ = 0;
  std::vector<double> times_;  // microseconds, as Microseconds() found them last
};

inline std::vector<double> Widened(Element element, const std::vector<Half>& halves) {
  std::vector<double> out(halves.size());
  for (size_t i = 0; i < halves.size(); ++i) out[i] = Widen(element, halves[i]);
  return out;
}
inline std::vector<double> Widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

// For rows of one sequence: the rotation of each, and pages in any order.
struct RandomRows {
  RandomRows(Lab& lab, int32_t rows, int32_t pairs, int32_t page_tokens);
  std::vector<float2> rotation;    // [rows][pairs]
  std::vector<int32_t> row_pages;  // [rows]
  DeviceArray<float2> device_rotation;
  DeviceArray<int32_t> device_positions, device_row_pages;
};
// Cosine and sine of `count` angles.
std::vector<float2> RandomRotation(Lab& lab, int32_t count);

// What element (row, col) of a product is worth, from its partial sums: counts blocks unit by unit.
double ProductValue(const Product& shape, const std::vector<float>& data, int64_t row, int32_t col);
// A product of [rows, cols] with random partial sums, cut as for `inputs` inputs and `blocks` blocks.
struct RandomProduct {
  RandomProduct(Lab& lab, int32_t rows, int32_t cols, int32_t inputs, int32_t blocks);
  std::vector<float> host;
  DeviceArray<float> device;
  Product product;
};

// Groups or uses as LoraPlan wants them.
template <typename T>
std::vector<T> WithRoom(std::vector<T> values) {
  values.resize(std::max<size_t>(values.size(), kLoraGroupsMax));
  return values;
}

// Room for what LoraPlan makes of groups, and for what a product of few rows makes of that.
class LoraMemory {
 public:
  LoraMemory(const std::vector<LoraGroup>& groups, int32_t layers, int32_t rows, int32_t blocks)
      : sites_(layers * kLoraSites), octet_count_(OctetCount(groups)), counts_(sites_), octets_(sites_ * octet_count_),
        divisions_(sites_ * blocks), blocks_(blocks), ready_(sites_ * LoraTileCount(octet_count_)),
        parts_(LoraPartWords(octet_count_, blocks, StreamBox(rows))), sums_(kLoraSumSites * LoraSumBytes(octet_count_, StreamBox(rows))) {
    cudaMemset(parts_.data(), 0xff, parts_.size() * sizeof(uint32_t));
    cudaDeviceSynchronize();
  }
  LoraTables tables() const {
    return {.counts = counts_.data(),
            .octets = octets_.data(),
            .ready = ready_.data(),
            .sums = sums_.data(),
            .sum_bytes = static_cast<int64_t>(sums_.size()) / kLoraSumSites,
            .sites = static_cast<int32_t>(sites_),
            .divisions = divisions_.data(),
            .blocks = blocks_};
  }
  // As the products of the layer before would.
  void EmptySums(cudaStream_t stream) const { Must(cudaMemsetAsync(sums_.data(), 0xff, sums_.size(), stream), "v"); }
  void Place(int32_t site, LoraSiteArgs* args) const {
    args->tables = tables();
    args->site = site;
    args->v_parts = parts_.data();
  }

 private:
  static int64_t OctetCount(const std::vector<LoraGroup>& groups) {
    int64_t columns = 0;
    for (const LoraGroup& group : groups) columns += group.v_cols;
    return std::max<int64_t>(1, columns / kLoraOctetRanks);
  }

  int64_t sites_, octet_count_;
  DeviceArray<LoraCounts> counts_;
  DeviceArray<LoraOctet> octets_;
  DeviceArray<LoraDivision> divisions_;
  int32_t blocks_;
  DeviceArray<int32_t> ready_;
  DeviceArray<uint32_t> parts_;
  DeviceArray<uint8_t> sums_;
};
void CheckLayerOps(Lab& lab);
void CheckGemm(Lab& lab);
void CheckAttention(Lab& lab);
void CheckLora(Lab& lab);
void CheckLoraPlan(Lab& lab);
void CheckForms(Lab& lab);
void CheckSampling(Lab& lab);
void CheckExchange(Lab& lab);
void BenchKernels(Lab& lab);
void BenchForms(Lab& lab);
void BenchStep(Lab& lab);
void BenchLoraSites(Lab& lab);
void BenchPrefills(Lab& lab);
void BenchMany(Lab& lab);
void CheckMany(Lab& lab);
void CheckUneven(Lab& lab);
void BenchExchange(Lab& lab);

}  // namespace chorale::cuda
