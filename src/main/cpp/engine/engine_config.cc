#include "engine/engine_config.h"

#include <array>
#include <charconv>
#include <cstdlib>

namespace chorale {
namespace {

using Words = std::array<const char*, 3>;  // what a value may be, up to the first null; none: anything
constexpr Words kModes = {"fast", "reference"};

struct TextKey {
  const char* name;
  std::string EngineConfig::*field;
  Words words;
};
constexpr TextKey kTextKeys[] = {{"backend", &EngineConfig::backend, {"cpu", "cuda"}},
                                 {"mode", &EngineConfig::mode, kModes},
                                 {"merge", &EngineConfig::merge, {"auto", "shadow", "in_place"}},
                                 {"lora_sharding", &EngineConfig::lora_sharding, {"replicate", "sharded"}},
                                 {"record_dir", &EngineConfig::record_dir, {}},
                                 {"library_dir", &EngineConfig::library_dir, {}}};

struct NumberKey {
  const char* name;
  int64_t EngineConfig::*field;
  int64_t least, most;
};
constexpr NumberKey kNumberKeys[] = {{"threads", &EngineConfig::threads, 0, 1024},
                                     {"pool_bytes", &EngineConfig::pool_bytes, 0, int64_t{1} << 50},
                                     {"page_count", &EngineConfig::page_count, 0, (int64_t{1} << 31) - 2},
                                     {"page_tokens", &EngineConfig::page_tokens, 0, 64},
                                     {"slots_max", &EngineConfig::slots_max, 1, 1 << 20},
                                     {"scratch_max", &EngineConfig::scratch_max, 1, 1 << 20},
                                     {"rows_max", &EngineConfig::rows_max, 1, 1 << 20},
                                     {"sequences_max", &EngineConfig::sequences_max, 1, 1 << 20},
                                     {"samples_max", &EngineConfig::samples_max, 1, 1 << 20},
                                     {"poison", &EngineConfig::poison, 0, 1},
                                     {"graphs", &EngineConfig::graphs, 0, 1},
                                     {"record_steps", &EngineConfig::record_steps, 1, 1 << 20},
                                     {"shards", &EngineConfig::shards, 1, kShardsMax}};

std::string Text(std::string_view view) { return std::string(view); }

Status CheckWord(const char* name, std::string_view value, const Words& words) {
  std::string known;
  for (const char* word : words) {
    if (word == nullptr) break;
    if (value == word) return Status::Ok();
    known += known.empty() ? word : std::string(", ") + word;
  }
  if (known.empty()) return Status::Ok();
  return Status::Invalid(Format("config: %s=%s is none of %s", name, Text(value).c_str(), known.c_str()));
}

Status Set(std::string_view key, std::string_view value, EngineConfig* config) {
  for (const TextKey& known : kTextKeys) {
    if (key != known.name) continue;
    config->*known.field = Text(value);
    return CheckWord(known.name, value, known.words);
  }
  for (const NumberKey& known : kNumberKeys) {
    if (key != known.name) continue;
    int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < known.least || number > known.most) {
      return Status::Invalid(Format("config: %s=%s is not a whole number in [%lld, %lld]", known.name,
                                    Text(value).c_str(), static_cast<long long>(known.least),
                                    static_cast<long long>(known.most)));
    }
    config->*known.field = number;
    return Status::Ok();
  }
  return Status::Invalid(Format("config: unknown key %s", Text(key).c_str()));
}

}  // namespace

Result<EngineConfig> EngineConfig::Parse(std::string_view text) {
  EngineConfig config;
  while (!text.empty()) {
    const size_t line_end = text.find('\n');
    const std::string_view line = text.substr(0, line_end);
    text = line_end == std::string_view::npos ? std::string_view() : text.substr(line_end + 1);
    if (line.empty()) continue;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      return Status::Invalid(Format("config: \"%s\" is not key=value", Text(line).c_str()));
    }
    CHORALE_RETURN_IF_ERROR(Set(line.substr(0, equals), line.substr(equals + 1), &config));
  }
  if (config.page_tokens != 0 && config.page_tokens != 16 && config.page_tokens != 32 && config.page_tokens != 64) {
    return Status::Invalid(Format("config: page_tokens=%lld is none of 0, 16, 32 and 64",
                                  static_cast<long long>(config.page_tokens)));
  }
  if (config.pool_bytes == 0 && config.page_count == 0 && config.backend != "cuda") {
    return Status::Invalid("config: pool_bytes is missing");
  }
  if (config.merge == "in_place" && config.backend == "cpu") {
    return Status::Invalid("config: merge=in_place is for backend=cuda, not cpu");
  }
  const char* variable = config.backend == "cpu" ? std::getenv("CHORALE_CPU") : nullptr;
  if (variable != nullptr && *variable != '\0') {
    CHORALE_RETURN_IF_ERROR(CheckWord("$CHORALE_CPU", variable, kModes));
    if (std::string_view(variable) == "reference") config.mode = variable;  // forces it, whatever was configured
  }
  if (config.backend != "cpu" && config.reference()) {
    return Status::Invalid(Format("config: mode=reference is for backend=cpu, not %s", config.backend.c_str()));
  }
  return config;
}

}  // namespace chorale
