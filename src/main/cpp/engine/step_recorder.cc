#include "engine/step_recorder.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace chorale {
namespace {

std::string StepName(const char* kind, int64_t step_id) {
  return Format("%s-%lld.bin", kind, static_cast<long long>(step_id));
}

}  // namespace

Status StepRecorder::Write(const std::string& name, std::span<const uint8_t> bytes) const {
  if (!on()) return Status::Ok();
  const std::string path = directory_ + "/" + name;
  std::FILE* file = std::fopen(path.c_str(), "wb");
  bool written = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  int error = errno;
  if (file != nullptr && std::fclose(file) != 0 && written) {  // a full disk is often found out here
    written = false;
    error = errno;
  }
  if (written) return Status::Ok();
  return Status::Invalid(Format("record_dir: cannot write %s: %s", path.c_str(), std::strerror(error)));
}

void StepRecorder::Adapter(int64_t handle, std::span<const uint8_t> manifest) const {
  EndOnFailure(Write(Format("adapter-%lld.manifest", static_cast<long long>(handle)), manifest));
}

void StepRecorder::Step(int64_t step_id, std::span<const uint8_t> bytes) const {
  if (!on()) return;
  ForgetStep(step_id - steps_);
  EndOnFailure(Write(StepName("step", step_id), bytes));
}

void StepRecorder::ForgetStep(int64_t step_id) const {
  if (!on()) return;
  for (const char* kind : {"step", "late"}) std::remove((directory_ + "/" + StepName(kind, step_id)).c_str());
}

void StepRecorder::Late(int64_t step_id, std::span<const uint8_t> bytes) const {
  EndOnFailure(Write(StepName("late", step_id), bytes));
}

void StepRecorder::EndOnFailure(const Status& written) const {
  if (written.ok() || ended_.exchange(true)) return;
  std::fprintf(stderr, "chorale: the recording of steps has ended: %s\n", written.message().c_str());
}

}  // namespace chorale
