#include "tools/recording.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace chorale {
namespace {

namespace fs = std::filesystem;

Result<std::vector<uint8_t>> ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) return Status::Invalid(Format("%s: cannot be read", path.c_str()));
  return bytes;
}

// The number in "prefix<number>suffix".
std::optional<int64_t> NumberIn(const std::string& name, const std::string& prefix, const std::string& suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() <= prefix.size() + suffix.size()) return {};
  const char* begin = name.data() + prefix.size();
  const char* end = name.data() + name.size() - suffix.size();
  int64_t number = 0;
  auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || stop != end) return {};
  return number;
}

}  // namespace

Result<Recording> Recording::Open(const std::string& directory) {
  std::error_code error;
  std::map<int64_t, fs::path> steps, lates, adapters;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (auto id = NumberIn(name, "step-", ".bin")) steps[*id] = entry->path();
    if (auto id = NumberIn(name, "late-", ".bin")) lates[*id] = entry->path();
    if (auto handle = NumberIn(name, "adapter-", ".manifest")) adapters[*handle] = entry->path();
  }
  if (error) return Status::Invalid(Format("%s: %s", directory.c_str(), error.message().c_str()));
  if (steps.empty()) return Status::Invalid(Format("%s: holds no step-<id>.bin", directory.c_str()));

  Recording recording;
  auto read = [](const fs::path& path, std::vector<uint8_t>* out) {
    Result<std::vector<uint8_t>> bytes = ReadFile(path);
    if (!bytes.ok()) return bytes.status();
    *out = std::move(bytes).value();
    return Status::Ok();
  };
  std::vector<uint8_t> config;
  CHORALE_RETURN_IF_ERROR(read(fs::path(directory) / "config.txt", &config));
  recording.config.assign(config.begin(), config.end());
  CHORALE_RETURN_IF_ERROR(read(fs::path(directory) / "model.manifest", &recording.model));
  for (const auto& [handle, path] : adapters) CHORALE_RETURN_IF_ERROR(read(path, &recording.adapters[handle]));
  for (const auto& [id, path] : steps) {
    if (!recording.steps.empty() && id != recording.steps.back().id + 1) {
      return Status::Invalid(Format("%s: step %lld is followed by step %lld", directory.c_str(),
                                    static_cast<long long>(recording.steps.back().id), static_cast<long long>(id)));
    }
    RecordedStep& step = recording.steps.emplace_back();
    step.id = id;
    CHORALE_RETURN_IF_ERROR(read(path, &step.step));
    if (auto late = lates.find(id); late != lates.end()) CHORALE_RETURN_IF_ERROR(read(late->second, &step.late));
  }
  return recording;
}

}  // namespace chorale
