// A management library with two devices: one that tells all, and one that tells its name alone.
#include <cstring>

namespace {
int devices[2];
int events = 2;
}  // namespace

extern "C" {
struct Memory {
  unsigned long long total, free, used;
};
struct Utilization {
  unsigned int gpu, memory;
};
struct Event {
  void* device;
  unsigned long long type, data;
  unsigned int gpu_instance, compute_instance;
};
constexpr int kNotSupported = 3;
constexpr int kTimeout = 10;

bool IsFirst(void* device) { return device == &devices[0]; }

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetCount_v2(unsigned int* count) { return *count = 2, 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) { return *device = &devices[index], 0; }
int nvmlDeviceGetName(void* device, char* name, unsigned int) {
  return std::strcpy(name, IsFirst(device) ? "Fake One" : "Fake Two"), 0;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  return *memory = {.total = 1000, .free = 400, .used = 600}, IsFirst(device) ? 0 : kNotSupported;
}
int nvmlDeviceGetUtilizationRates(void* device, Utilization* rates) {
  return *rates = {.gpu = 87, .memory = 3}, IsFirst(device) ? 0 : kNotSupported;
}
int nvmlDeviceGetTemperature(void* device, int sensor, unsigned int* celsius) {
  return *celsius = 61, IsFirst(device) && sensor == 0 ? 0 : kNotSupported;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned int* milliwatts) {
  return *milliwatts = 412'345, IsFirst(device) ? 0 : kNotSupported;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
  return *reasons = 0x1 | 0x40, IsFirst(device) ? 0 : kNotSupported;  // idle, and hot
}
int nvmlDeviceGetTotalEccErrors(void* device, int type, int counter, unsigned long long* errors) {
  return *errors = type == 0 ? 5 : 2, IsFirst(device) && counter == 0 ? 0 : kNotSupported;
}
int nvmlEventSetCreate(void** set) { return *set = &events, 0; }
int nvmlEventSetFree(void*) { return 0; }
int nvmlDeviceRegisterEvents(void* device, unsigned long long types, void*) {
  return IsFirst(device) && types == 8 ? 0 : kNotSupported;
}
int nvmlEventSetWait_v2(void*, Event* event, unsigned int) {
  if (events == 0) return kTimeout;
  --events;
  return *event = {.device = &devices[0], .type = 8, .data = events == 0 ? 79ull : 31ull}, 0;
}
}
