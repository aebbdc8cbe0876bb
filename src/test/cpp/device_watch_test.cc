#include "base/device_watch.h"

#include <gtest/gtest.h>

namespace chorale {
namespace {

TEST(DeviceWatchTest, HasNoDevicesWithoutALibrary) {
  EXPECT_EQ("", DeviceWatch("libthere-is-no-such-thing.so.1").Describe());
}

TEST(DeviceWatchTest, HasNoDevicesWhereTheLibraryIsAnother) {
  EXPECT_EQ("", DeviceWatch("libm.so.6").Describe());
}

TEST(DeviceWatchTest, SaysWhatEachDeviceTells) {
  DeviceWatch watch(FAKE_NVML);
  EXPECT_EQ(
      "0.name=Fake One\n0.memory_bytes=1000\n0.memory_used_bytes=600\n0.utilization=0.87\n0.temperature_celsius=61\n"
      "0.power_watts=412.3\n0.slowed_by=64\n0.ecc_corrected=5\n0.ecc_uncorrected=2\n0.xid_errors=2\n0.xid_last=79\n"
      "1.name=Fake Two\n1.xid_errors=0\n1.xid_last=0\n",
      watch.Describe());
  EXPECT_NE(std::string::npos, watch.Describe().find("0.xid_errors=2\n")) << "an error is counted once";
}

}  // namespace
}  // namespace chorale
