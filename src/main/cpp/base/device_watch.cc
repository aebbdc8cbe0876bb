#include "base/device_watch.h"

#include <dlfcn.h>

#include <mutex>
#include <vector>

#include "base/status.h"

namespace chorale {
namespace {

// NVML's C ABI as far as it is used, which has been the same since 2019.
using Device = void*;
struct Memory {
  unsigned long long total, free, used;  // bytes
};
struct Utilization {
  unsigned int gpu, memory;  // percent
};
struct Event {
  Device device;
  unsigned long long type, data;  // of a critical error: its Xid
  unsigned int gpu_instance, compute_instance;
};
constexpr int kSuccess = 0;
constexpr int kTemperatureGpu = 0;
constexpr int kEccCorrected = 0;
constexpr int kEccUncorrected = 1;
constexpr int kSinceDriverLoad = 0;
constexpr unsigned long long kXidCriticalError = 0x8;
// An idle device, and clocks that somebody chose, are nothing to worry about.
constexpr unsigned long long kHarmlessReasons = 0x1 | 0x2 | 0x10 | 0x100;
constexpr unsigned int kDevicesMax = 64;
constexpr int kEventsMax = 256;  // of one look

}  // namespace

struct DeviceWatch::Library {
  struct Watched {
    Device device;
    unsigned long long xid_errors = 0;
    unsigned long long xid_last = 0;
  };

  explicit Library(const char* name) : handle(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    if (handle == nullptr) return;
    Find("nvmlInit_v2", init);
    Find("nvmlShutdown", shutdown);
    Find("nvmlDeviceGetCount_v2", count);
    Find("nvmlDeviceGetHandleByIndex_v2", by_index);
    Find("nvmlDeviceGetName", name_of);
    Find("nvmlDeviceGetMemoryInfo", memory);
    Find("nvmlDeviceGetUtilizationRates", utilization);
    Find("nvmlDeviceGetTemperature", temperature);
    Find("nvmlDeviceGetPowerUsage", power);
    Find("nvmlDeviceGetCurrentClocksThrottleReasons", slowed_by);
    Find("nvmlDeviceGetTotalEccErrors", ecc);
    Find("nvmlEventSetCreate", event_set_create);
    Find("nvmlEventSetFree", event_set_free);
    Find("nvmlDeviceRegisterEvents", register_events);
    Find("nvmlEventSetWait_v2", event_wait);
    if (init == nullptr || shutdown == nullptr || count == nullptr || by_index == nullptr || init() != kSuccess) return;
    started = true;
    Enumerate();
  }

  ~Library() {
    if (events != nullptr && event_set_free != nullptr) event_set_free(events);
    if (started) shutdown();
    if (handle != nullptr) dlclose(handle);
  }

  template <typename Function>
  void Find(const char* symbol, Function& function) {
    function = reinterpret_cast<Function>(dlsym(handle, symbol));
  }

  void Enumerate() {
    unsigned int devices_count = 0;
    if (count(&devices_count) != kSuccess) return;
    const bool watches_events = event_set_create != nullptr && register_events != nullptr && event_wait != nullptr &&
                                event_set_create(&events) == kSuccess;
    for (unsigned int i = 0; i < devices_count && i < kDevicesMax; ++i) {
      Device device = nullptr;
      if (by_index(i, &device) != kSuccess) continue;
      // A device that has no such events refuses, and has none to tell.
      if (watches_events) static_cast<void>(register_events(device, kXidCriticalError, events));
      devices.push_back({.device = device});
    }
  }

  // Takes out the errors that have come since the last look.
  void CollectEvents() {
    if (events == nullptr || event_wait == nullptr) return;
    Event event = {};
    for (int i = 0; i < kEventsMax && event_wait(events, &event, /*timeout_ms=*/0) == kSuccess; ++i) {
      for (Watched& watched : devices) {
        if (watched.device != event.device || event.type != kXidCriticalError) continue;
        ++watched.xid_errors;
        watched.xid_last = event.data;
      }
    }
  }

  void Describe(size_t index, std::string& out) const {
    const Watched& watched = devices[index];
    const auto line = [&](const char* key, const std::string& value) {
      out += Format("%zu.%s=%s\n", index, key, value.c_str());
    };
    const auto number = [&](const char* key, unsigned long long value) { line(key, Format("%llu", value)); };
    char name[96] = {};
    if (name_of != nullptr && name_of(watched.device, name, sizeof name - 1) == kSuccess) line("name", name);
    Memory bytes = {};
    if (memory != nullptr && memory(watched.device, &bytes) == kSuccess) {
      number("memory_bytes", bytes.total);
      number("memory_used_bytes", bytes.used);
    }
    Utilization percent = {};
    if (utilization != nullptr && utilization(watched.device, &percent) == kSuccess) {
      line("utilization", Format("%.2f", percent.gpu / 100.0));
    }
    unsigned int value = 0;
    if (temperature != nullptr && temperature(watched.device, kTemperatureGpu, &value) == kSuccess) {
      number("temperature_celsius", value);
    }
    if (power != nullptr && power(watched.device, &value) == kSuccess) {
      line("power_watts", Format("%.1f", value / 1000.0));  // it says milliwatts
    }
    unsigned long long reasons = 0;
    if (slowed_by != nullptr && slowed_by(watched.device, &reasons) == kSuccess) {
      number("slowed_by", reasons & ~kHarmlessReasons);
    }
    unsigned long long errors = 0;
    if (ecc != nullptr && ecc(watched.device, kEccCorrected, kSinceDriverLoad, &errors) == kSuccess) {
      number("ecc_corrected", errors);
    }
    if (ecc != nullptr && ecc(watched.device, kEccUncorrected, kSinceDriverLoad, &errors) == kSuccess) {
      number("ecc_uncorrected", errors);
    }
    number("xid_errors", watched.xid_errors);
    number("xid_last", watched.xid_last);
  }

  void* const handle;
  bool started = false;
  void* events = nullptr;
  std::vector<Watched> devices;
  std::mutex mutex;

  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned int*) = nullptr;
  int (*by_index)(unsigned int, Device*) = nullptr;
  int (*name_of)(Device, char*, unsigned int) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*temperature)(Device, int, unsigned int*) = nullptr;
  int (*power)(Device, unsigned int*) = nullptr;
  int (*slowed_by)(Device, unsigned long long*) = nullptr;
  int (*ecc)(Device, int, int, unsigned long long*) = nullptr;
  int (*event_set_create)(void**) = nullptr;
  int (*event_set_free)(void*) = nullptr;
  int (*register_events)(Device, unsigned long long, void*) = nullptr;
  int (*event_wait)(void*, Event*, unsigned int) = nullptr;
};

DeviceWatch::DeviceWatch(const char* library) : library_(std::make_unique<Library>(library)) {}

DeviceWatch::~DeviceWatch() = default;

std::string DeviceWatch::Describe() {
  std::lock_guard lock(library_->mutex);
  library_->CollectEvents();
  std::string out;
  for (size_t i = 0; i < library_->devices.size(); ++i) library_->Describe(i, out);
  return out;
}

}  // namespace chorale
