#include "tools/history.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "tools/bench_options.h"

namespace chorale {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + "\"";
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace

void History::Record(Figure figure) const {
  if (file_.empty()) return;
  std::vector<double>& values = figure.values;
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double part) { return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))]; };
  std::FILE* file = std::fopen(file_.c_str(), "a");
  if (file == nullptr) Fail("--history " + file_ + " cannot be written");
  std::fprintf(file,
               "{\"date\":%s,\"commit\":%s,\"machine\":%s,\"command\":%s,\"benchmark\":%s,\"settings\":%s,\"unit\":%s,"
               "\"runs\":%zu,\"min\":%.4f,\"median\":%.4f,\"p99\":%.4f,\"max\":%.4f",
               Quoted(Now()).c_str(), Quoted(commit_).c_str(), Quoted(machine_).c_str(), Quoted(command_).c_str(),
               Quoted(figure.benchmark).c_str(), Quoted(figure.settings).c_str(), Quoted(figure.unit).c_str(),
               values.size(), values.front(), values[values.size() / 2], quantile(0.99), values.back());
  if (figure.target > 0) std::fprintf(file, ",\"target\":%.4f", figure.target);
  if (!figure.roofs.empty()) std::fprintf(file, ",\"roofs\":%s", Quoted(figure.roofs).c_str());
  std::fprintf(file, "}\n");
  if (std::fclose(file) != 0) Fail("--history " + file_ + " cannot be written");
}

}  // namespace chorale
