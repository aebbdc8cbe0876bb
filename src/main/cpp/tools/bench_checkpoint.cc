#include "tools/bench_checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <thread>
#include <vector>

#include "testing/tiny_model.h"
#include "tools/bench.h"
#include "tools/bench_model.h"

namespace chorale {
namespace {

constexpr int64_t kFileBytesMost = int64_t{4} << 30;
constexpr int64_t kBlockBytes = int64_t{4} << 20;
constexpr int32_t kReaders = 8;

using Clock = std::chrono::steady_clock;
double SecondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// The tensors one after another in as many files as they need.
testing::ManifestBuilder ManifestOf(const ModelSpec& spec, const std::string& folder) {
  testing::ManifestBuilder builder = testing::ModelManifest(spec, "");
  std::erase_if(builder.spans, [](const SpanEntry& span) { return IsBias(span.role); });
  builder.files.clear();
  for (SpanEntry& span : builder.spans) {
    span.dtype = kBF16;
    span.bytes = span.rows * span.cols * DTypeBytes(kBF16);
    if (builder.files.empty() || builder.files.back().second + span.bytes > kFileBytesMost) {
      builder.files.emplace_back(folder + Format("/weights-%02zu.bin", builder.files.size()), 0);
    }
    span.file = static_cast<int32_t>(builder.files.size()) - 1;
    span.offset = builder.files.back().second;
    builder.files.back().second += (span.bytes + kDataAlign - 1) / kDataAlign * kDataAlign;
  }
  return builder;
}

// Numbers of either sign between 2^-7 and 2^-6.
void WriteFile(const std::string& path, int64_t bytes) {
  std::vector<uint16_t> block(static_cast<size_t>(kBlockBytes) / 2);
  std::mt19937 random(17);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) Fail("--checkpoint: cannot write " + path);
  for (int64_t at = 0; at < bytes; at += kBlockBytes) {
    const uint32_t salt = random();
    for (size_t i = 0; i < block.size(); ++i) {
      const uint32_t bits = (static_cast<uint32_t>(i) * 2654435761u ^ salt) >> 8;
      block[i] = static_cast<uint16_t>((bits & 0x807f) | 0x3c00);
    }
    const auto here = static_cast<size_t>(std::min(kBlockBytes, bytes - at));
    if (std::fwrite(block.data(), 1, here, file) != here) Fail("--checkpoint: cannot write " + path);
  }
  const bool synced = std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  if (std::fclose(file) != 0 || !synced) Fail("--checkpoint: cannot write " + path);
}

// Takes the files out of the page cache.
void Evict(const testing::ManifestBuilder& builder) {
  for (const auto& [path, bytes] : builder.files) {
    const OpenFile file = Take(OpenFile::Open(path, bytes));
    posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

double ReadAll(const testing::ManifestBuilder& builder) {
  const auto begin = Clock::now();
  for (const auto& [path, size] : builder.files) {
    const int64_t bytes = size;
    const OpenFile file = Take(OpenFile::Open(path, bytes));
    std::atomic<int64_t> next{0};
    std::vector<std::thread> readers;
    for (int32_t i = 0; i < kReaders; ++i) {
      readers.emplace_back([&] {
        std::vector<uint8_t> block(static_cast<size_t>(kBlockBytes));
        for (int64_t at = next.fetch_add(kBlockBytes); at < bytes; at = next.fetch_add(kBlockBytes)) {
          Check(file.ReadAt(at, std::span(block).first(static_cast<size_t>(std::min(kBlockBytes, bytes - at)))));
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
  }
  return SecondsSince(begin);
}

}  // namespace

void MeasureCheckpoint(const BenchOptions& options) {
  const ModelSpec spec = SpecOf(options.shape);
  testing::ManifestBuilder builder = ManifestOf(spec, options.checkpoint);
  std::filesystem::create_directories(options.checkpoint);
  int64_t bytes = 0;
  for (const auto& [path, size] : builder.files) {
    std::error_code missing;
    if (static_cast<int64_t>(std::filesystem::file_size(path, missing)) != size) WriteFile(path, size);
    bytes += size;
  }
  AlignedBytes manifest;
  manifest.Assign(builder.Build());
  const ManifestView view = Take(ManifestView::ParseModel(manifest.bytes()));
  const EngineConfig config = ConfigOf(options, spec);
  MemoryRoofs roofs;
  std::string device;
  const auto create = [&](const ManifestView& model) {
    FileSpans spans(model);
    const auto begin = Clock::now();
    const std::unique_ptr<ShardedEngine> engine = Take(ShardedEngine::Create(config, model, spans));
    const double seconds = SecondsSince(begin);
    roofs = engine->MeasureRoofs();
    device = DeviceOf(*engine);
    return seconds;
  };
  testing::TensorSet dummy = testing::DummyModel(spec, 1, kBF16);
  AlignedBytes dummy_manifest;
  dummy_manifest.Assign(dummy.BuildFor("none"));
  const ManifestView made = Take(ManifestView::ParseModel(dummy_manifest.bytes()));
  const double first = create(made);  // the driver and the libraries come with the first
  const double without = create(made);
  Evict(builder);
  const double disk = ReadAll(builder);
  Evict(builder);
  const double cold = create(view);
  const double read = ReadAll(builder);
  const double warm = create(view);
  const double copy = roofs.upload > 0 ? static_cast<double>(bytes) / roofs.upload : 0;
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  std::printf("load of a checkpoint of %.2f GB in %zu files: from the disk %.2f s (%.2f GB/s; its bytes alone %.2f s, %.2f GB/s: "
              "%.0f %%), from the page cache %.2f s (its bytes alone %.2f s; the copy to the device %.2f s, %+.2f s); without "
              "a file %.2f s, the first time %.2f s\n",
              gigabytes, builder.files.size(), cold, gigabytes / cold, disk, gigabytes / disk, disk / cold * 100, warm, read,
              copy, warm - copy, without, first);
  const History history(options.history, options.command, options.commit, device);
  const std::string roofs_text = Format("disk %.2f GB/s, upload %.1f GB/s", gigabytes / disk, roofs.upload / 1e9);
  const std::string settings = Format("%s, %.2f GB in %zu files", options.shape.c_str(), gigabytes, builder.files.size());
  history.Record({"checkpoint-from-disk", settings, "s", {cold}, disk / 0.9, roofs_text});
  history.Record({"checkpoint-from-page-cache", settings, "s", {warm}, copy + 3, roofs_text});
}

}  // namespace chorale
