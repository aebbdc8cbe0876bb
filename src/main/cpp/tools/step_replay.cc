// step_replay: runs recorded steps on two engines and names the first operation in which they differ.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tools/replay.h"

namespace chorale {
namespace {

constexpr const char* kUsage =
    R"(usage: step_replay DIR [--expected KIND] [--actual KIND] [--image FILE [--adapter HANDLE=NAME]...] [--tolerance X]
                   [--plant OP[@LAYER]]

Runs recorded steps on two engines and names the first operation in which they differ. DIR is what
chorale.engine.record-dir named. KIND is reference (default for --expected), fast (default for --actual) or cuda. --image
takes the weights from a packed image instead of the files that the recording names. --plant falsifies one operation of
the actual run, to see that it is found. Exits with 0: the runs agree; 1: they differ; 2: there is nothing to compare.
)";

struct Options {
  std::string directory, expected = "reference", actual = "fast";
  ReplayImage image;
  std::optional<double> tolerance;
  std::optional<Plant> plant;
};

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "step_replay: %s\n", message.c_str());
  std::exit(2);
}

template <typename T>
T Take(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

void AddAdapter(const std::string& value, Options* options) {
  size_t equals = value.find('=');
  int64_t handle = 0;
  auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), handle);
  if (error != std::errc() || equals == std::string::npos || stop != value.data() + equals) {
    Fail("--adapter " + value + " is not HANDLE=NAME");
  }
  options->image.adapters[handle] = value.substr(equals + 1);
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (name == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (!name.starts_with("--")) {
      if (!options.directory.empty()) Fail("two directories are given: " + options.directory + " and " + name);
      options.directory = name;
      continue;
    }
    if (i + 1 == argc) Fail(name + " needs a value, or is not an option");
    std::string value = argv[++i];
    if (name == "--expected") {
      options.expected = value;
    } else if (name == "--actual") {
      options.actual = value;
    } else if (name == "--image") {
      options.image.path = value;
    } else if (name == "--adapter") {
      AddAdapter(value, &options);
    } else if (name == "--tolerance") {
      char* end = nullptr;
      options.tolerance = std::strtod(value.c_str(), &end);
      if (*end != '\0' || !(*options.tolerance >= 0)) Fail("--tolerance " + value + " is not a number from 0");
    } else if (name == "--plant") {
      options.plant = Plant::Parse(value);
      if (!options.plant) Fail("--plant " + value + " is not an operation, or lacks its layer or has one too many");
    } else {
      Fail(name + " is not an option");
    }
  }
  if (options.directory.empty()) Fail(std::string("which directory?\n") + kUsage);
  return options;
}

int Main(int argc, char** argv) {
  Options options = ParseOptions(argc, argv);
  Recording recording = Take(Recording::Open(options.directory));
  auto expected = Take(MakeEngine(recording, options.expected, options.image));
  auto actual = Take(MakeEngine(recording, options.actual, options.image));
  double tolerance = options.tolerance.value_or(DefaultTolerance(*expected, *actual));
  ReplayReport report = Take(Replay(recording, *expected, *actual, tolerance, options.plant));
  std::printf("%s against %s: %lld steps from step %lld", options.actual.c_str(), options.expected.c_str(),
              static_cast<long long>(report.steps), static_cast<long long>(recording.steps[0].id));
  if (report.refused > 0) std::printf("; the last is refused, as it was when it was recorded");
  if (!report.difference) {
    std::printf("; they agree within %.2g\n", tolerance);
    return 0;
  }
  std::printf("; the first difference:\n%s\n", report.difference->Describe().c_str());
  return 1;
}

}  // namespace
}  // namespace chorale

int main(int argc, char** argv) { return chorale::Main(argc, argv); }
