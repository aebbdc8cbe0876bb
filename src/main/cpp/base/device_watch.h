// What NVIDIA's management library says of the GPUs: for people and alerts, never for the engine.
//
// The library comes with the driver and is opened by name, so that a machine without one needs nothing. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace chorale {

class DeviceWatch {
 public:
  static constexpr char kLibrary[] = "libnvidia-ml.so.1";

  // Never fails: without the library, or with one that does not start, there are no devices.
  explicit DeviceWatch(const char* library = kLibrary);
  ~DeviceWatch();
  DeviceWatch(const DeviceWatch&) = delete;
  DeviceWatch& operator=(const DeviceWatch&) = delete;

  // Lines "INDEX.KEY=VALUE\n" for each device. What a device does not tell has no line. Keys: name, memory_bytes,
  // memory_used_bytes, utilization (share of the last interval in which a kernel ran), temperature_celsius,
  // power_watts, slowed_by (bits of NVML's reasons for lower clocks; idling and chosen clocks are none),
  // ecc_corrected, ecc_uncorrected (since the driver was loaded), xid_errors (seen since this was made), xid_last.
  std::string Describe();

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace chorale
