// Whole steps: what they take, beside what memory allows.
#include <algorithm>
#include <array>
#include <vector>

#include "cuda/step.h"
#include "kernels/probe.h"

namespace chorale::cuda {
namespace {

// Overlapped launches must give what launches one after another give.
void CheckOverlap(Lab& lab, Step& step, const char* name) {
  lab.launcher.overlap = false;
  step.Run();
  lab.Finish(name);
  const auto residual = step.Residual();
  const auto drawn = step.Drawn();
  lab.launcher.overlap = true;
  bool same = true;
  for (int32_t i = 0; i < 3; ++i) {
    step.Run();
    lab.Finish(name);
    same = same && residual == step.Residual() && drawn == step.Drawn();
  }
  lab.Expect(std::string(name) + ": overlapped launches give the same bits", same);
}

struct Adapters {
  int32_t count, rank;  // rank 0: 8, 16, 32 and 64 in turn
  bool all;             // seven targets, else q k v o
};
constexpr Adapters kAdapters[] = {{1, 8, false},  {1, 16, true},  {1, 64, true}, {8, 16, true},  {8, 64, true},
                                  {32, 8, false}, {32, 16, false}, {32, 16, true}, {32, 0, true}, {32, 64, true},
                                  {64, 8, false}, {64, 16, true}, {64, 64, true}};
constexpr struct {
  int32_t batch;
  double target;  // milliseconds; 0: none is set
} kBatches[] = {{1, 6.1}, {32, 7.6}, {64, 0}, {128, 12.6}};
constexpr double kPrefillTarget = 42000;  // tokens a second
constexpr int32_t kContext = 1024;

// Times the step without adapters and parts of it.
void BenchBase(Lab& lab, const Weights& weights, CublasLt* lt, int32_t batch, double target) {
  Step step(lab, weights, lt, batch, kContext, 1, 0, 0, false);
  CheckOverlap(lab, step, "decode step");
  const auto time = [&](const Parts& parts) { return lab.Microseconds(1, [&] { step.Run(parts); }) / 1e3; };
  lab.launcher.overlap = false;
  const double serial = time({});
  lab.launcher.overlap = true;
  const double products = time({.attention = false, .small = false, .sample = false});
  const double no_attention = time({.attention = false});
  const double ms = time({});
  const double floor = static_cast<double>(weights.bytes + step.kv_bytes) / lab.read_bandwidth * 1e3;
  char floor_text[32];
  std::snprintf(floor_text, sizeof(floor_text), "floor %.3f ms", floor);
  lab.Record("cuda-decode-step", weights.shape.Name() + ", base, context 1024, batch " + std::to_string(batch) + ", " + floor_text,
             lab.shards == 1 ? target : 0);
  std::printf("  B=%-3d base %.3f ms (floor %.3f, %.0f %%); without overlap %.3f; products alone %.3f, all but attention %.3f\n",
              batch, ms, floor, floor / ms * 100, serial, products, no_attention);
}

// What a step's adapters are held against, in milliseconds: the same step without them, in the same memory, since it takes longer or shorter
// with where its pages lie, and the floor of their bytes. Allowed of the whole shape are these bytes at 75 % of the bandwidth and 3 % of the
// step, of a shard's the bytes and 5 %.
struct WithoutAdapters {
  WithoutAdapters(Lab& lab, Step& step)
      : base(lab.Microseconds(1, [&] { step.Run({.lora = false}); }) / 1e3),
        floor(static_cast<double>(step.adapter_bytes) / lab.read_bandwidth * 1e3),
        allowed(lab.shards == 1 ? floor / 0.75 + 0.03 * base : floor + 0.05 * base) {}

  double base, floor, allowed;
  double PercentOver(double extra) const { return (extra - floor) / base * 100; }
};

void BenchAdapters(Lab& lab, const Weights& weights, CublasLt* lt, int32_t batch, const Adapters& adapters) {
  Step step(lab, weights, lt, batch, kContext, 1, adapters.count, adapters.rank, adapters.all);
  if (adapters.count == 8) CheckOverlap(lab, step, "decode step with adapters");
  const WithoutAdapters without(lab, step);
  const double extra = lab.Microseconds(1, [&] { step.Run(); }) / 1e3 - without.base;
  char text[128];
  std::snprintf(text, sizeof(text), "%d adapters of rank %s, %s", adapters.count,
                adapters.rank > 0 ? std::to_string(adapters.rank).c_str() : "8 to 64", adapters.all ? "all seven" : "q k v o");
  const std::string settings = weights.shape.Name() + ", context 1024, batch " + std::to_string(batch) + ", " + text;
  char floors[96];
  std::snprintf(floors, sizeof(floors), "; base %.3f ms, adapters' floor %.3f ms, extra %.3f ms", without.base, without.floor, extra);
  lab.Record("cuda-lora-step", settings + floors, without.base + without.allowed);
  std::printf("        %-38s extra %.3f ms, allowed %.3f%s (floor %.3f; %.1f %% of base, %.1f %% over the floor)\n", text, extra,
              without.allowed, extra > without.allowed ? " !" : "", without.floor, extra / without.base * 100, without.PercentOver(extra));
}

// Which products are by the own kernel, from none to all, and what it makes of the step.
void BenchPrefill(Lab& lab, const Weights& weights, CublasLt* lt, int32_t length, int32_t adapters) {
  Step step(lab, weights, lt, 1, length, length, adapters, 16, true);
  const auto time = [&](const OwnProducts& own, const Parts& parts) {
    step.own = own;
    return lab.Microseconds(1, [&] { step.Run(parts); }) / 1e3;
  };
  constexpr OwnProducts kNone{false, false, false, false}, kAll{};
  const auto residual = [&](const OwnProducts& own) {
    step.own = own;
    step.Run();
    lab.Finish("prefill");
    return Widened(step.Residual());
  };
  const auto by_library = residual(kNone), by_own = residual(kAll);
  lab.Compare("prefill by the own products as by the library's", by_own, by_library, 5e-2);
  lab.Expect("prefill twice gives the same bits", by_own == residual(kAll));
  constexpr OwnProducts kSparing{true, false, true, false};  // where the own kernel does something else as well
  std::printf("  prefill %d tokens, %d adapters, ms, twice:", length, adapters);
  for (int32_t turn = 0; turn < 2; ++turn) {  // in turn, as the clock follows the power that is drawn
    const double by_library_ms = time(kNone, {}), sparing_ms = time(kSparing, {}), own_ms = time(kAll, {});
    std::printf("%s library %.2f, own q k v and gate and up %.2f, own %.2f", turn == 0 ? "" : ";", by_library_ms, sparing_ms, own_ms);
  }
  std::printf("\n");
  if (adapters > 0) {
    std::printf("    A x of q k v, o, gate and up, down, us:");
    for (int32_t site = 0; site < 4; ++site) std::printf(" %.1f", lab.Microseconds(kLayers, [&] { step.Shrink(site); }));
    std::printf("\n");
  }
  const Parts none{.attention = false, .small = false, .lora = false, .sample = false};
  std::printf("    products: library %.2f own %.2f; no attention %.2f, no small %.2f, no B %.2f, no LoRA %.2f\n", time(kNone, none),
              time(kAll, none), time(kAll, {.attention = false}), time(kAll, {.small = false}), time(kAll, {.expand = false}),
              time(kAll, {.lora = false}));
  const double ms = time(kAll, {});
  lab.RecordRate("cuda-prefill", weights.shape.Name() + ", one sequence of " + std::to_string(length) + " tokens, " +
                     std::to_string(adapters) + " adapters of rank 16, all seven", "tokens/s", length,
                 length >= 2048 && adapters == 0 && lab.shards == 1 ? kPrefillTarget : 0);
  std::printf("    own again %.2f ms, %.0f tokens/s\n", ms, length / ms * 1e3);
  std::fflush(stdout);
}

void MeasureBandwidth(Lab& lab, const Weights& weights) {
  if (lab.read_bandwidth != 0) return;
  DeviceArray<uint32_t> sink(1);
  const int64_t bytes = std::min(int64_t{8} << 30, weights.memory->bytes());
  const double us = lab.Microseconds(1, [&] { ReadOnce(lab.launcher, weights.memory->data(), bytes, sink.data()); });
  lab.read_bandwidth = static_cast<double>(bytes) / us * 1e6;
}

}  // namespace

// What LoRA costs at one site of a layer alone, at all, and at none, where only its tables are made: extra milliseconds over the
// same step without adapters, in the same memory.
void BenchLoraSites(Lab& lab) {
  Weights weights(lab);
  MeasureBandwidth(lab, weights);
  std::printf("\n%s, extra ms; read bandwidth %.3f TB/s\n", weights.shape.Name().c_str(), lab.read_bandwidth / 1e12);
  for (const int32_t batch : lab.batch != 0 ? std::vector{lab.batch} : std::vector{32, 64}) {
    for (const Adapters& adapters : kAdapters) {
      if (adapters.count > batch || (lab.batch == 0 && batch > 32 && adapters.count < 64)) continue;
      Step step(lab, weights, nullptr, batch, kContext, 1, adapters.count, adapters.rank, adapters.all);
      const WithoutAdapters without(lab, step);
      const auto extra = [&] { return lab.Microseconds(1, [&] { step.Run(); }) / 1e3 - without.base; };
      std::printf("  B=%d %dxr%d %s: base %.3f, floor %.3f, allowed %.3f, extra %.3f;", batch, adapters.count, adapters.rank,
                  adapters.all ? "all" : "qkvo", without.base, without.floor, without.allowed, extra());
      for (int32_t site = 0; site < (adapters.all ? kLoraSites : 2); ++site) {
        step.lora_sites = 1U << site;
        std::printf(" %s %.3f", std::array{"qkv", "o", "gate-up", "down"}[site], extra());
      }
      step.lora_sites = 0;
      std::printf(" plan %.3f", extra());
      step.lora_sites = 0xf;
      const double all = extra();
      std::printf(" all %.3f (%.1f %% over the floor)\n", all, without.PercentOver(all));
      std::fflush(stdout);
    }
  }
}

void BenchPrefills(Lab& lab) {
  Weights weights(lab);
  MeasureBandwidth(lab, weights);
  std::string reason;
  const std::unique_ptr<CublasLt> lt = CublasLt::Load(&reason);
  for (const auto& [length, adapters] : {std::pair{2048, 0}, {2048, 1}, {2048, 8}}) {
    BenchPrefill(lab, weights, lt.get(), length, adapters);
  }
}

void BenchStep(Lab& lab) {
  Weights weights(lab);
  MeasureBandwidth(lab, weights);
  std::string reason;
  const std::unique_ptr<CublasLt> lt = CublasLt::Load(&reason);
  std::printf("\n%s, whole decode step in a graph, context %d; read bandwidth %.3f TB/s\n", weights.shape.Name().c_str(), kContext,
              lab.read_bandwidth / 1e12);
  bool known = false;
  for (const auto& [batch, target] : kBatches) {
    if (lab.batch != 0 && batch != lab.batch) continue;
    known = true;
    BenchBase(lab, weights, lt.get(), batch, target);
    for (const Adapters& adapters : kAdapters) {
      if (adapters.count <= batch) BenchAdapters(lab, weights, lt.get(), batch, adapters);
    }
    std::fflush(stdout);
  }
  if (lab.batch != 0) {
    lab.Expect("--batch " + std::to_string(lab.batch) + " is one of 1, 32, 64 and 128", known);
    return;
  }
  if (lt == nullptr) {
    std::printf("  no prefill: %s\n", reason.c_str());
    return;
  }
  for (const auto& [length, adapters] : {std::pair{512, 0}, {2048, 0}, {2048, 1}, {2048, 8}}) {
    BenchPrefill(lab, weights, lt.get(), length, adapters);
  }
}

}  // namespace chorale::cuda
