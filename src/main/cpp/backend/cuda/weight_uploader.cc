#include "backend/cuda/weight_uploader.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "backend/cuda/device_memory.h"
#include "base/convert.h"

namespace chorale::cuda {
namespace {

constexpr int64_t kPieceBytes = int64_t{4} << 20;
constexpr size_t kThreadsMost = 8;

// Rows of the tensor, without gaps, as elements of `dtype`.
Status ReadRows(const HostTensor& tensor, int64_t row, int64_t rows, int32_t dtype, std::vector<float>* wide, uint8_t* out) {
  const int64_t cols = tensor.cols, count = rows * cols, row_bytes = cols * ElementBytes(dtype);
  if (tensor.noise || tensor.dtype != dtype) {
    wide->resize(static_cast<size_t>(count));
    tensor.Read(row * cols, count, wide->data());
    ConvertFromFloat(wide->data(), dtype, count, out);
    return Status::Ok();
  }
  const int64_t stride = tensor.contiguous() ? cols : tensor.stride;
  const int64_t begin = (tensor.first + row * stride) * ElementBytes(dtype);
  if (!tensor.contiguous()) {
    for (int64_t i = 0; i < rows; ++i) {
      std::memcpy(out + i * row_bytes, tensor.bytes.data() + begin + i * stride * ElementBytes(dtype),
                  static_cast<size_t>(row_bytes));
    }
  } else if (tensor.place.file != nullptr) {
    return tensor.place.file->ReadAt(tensor.place.offset + begin, {out, static_cast<size_t>(rows * row_bytes)});
  } else {
    std::memcpy(out, tensor.bytes.data() + begin, static_cast<size_t>(rows * row_bytes));
  }
  return Status::Ok();
}

}  // namespace

// What a thread has of its own.
class WeightUploader::Worker {
 public:
  Worker() { Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream of weights"); }
  ~Worker() {
    cudaStreamSynchronize(stream_);
    for (const Buffer& buffer : buffers_) {
      if (buffer.sent != nullptr) cudaEventDestroy(buffer.sent);
    }
    cudaStreamDestroy(stream_);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  Status Upload(const Piece& piece) {
    Buffer& buffer = buffers_[next_];
    next_ = 1 - next_;
    const int64_t row_bytes = piece.tensor.cols * ElementBytes(piece.dtype), bytes = piece.rows * row_bytes;
    if (buffer.sent == nullptr) {
      Check(cudaEventCreateWithFlags(&buffer.sent, cudaEventDisableTiming | cudaEventBlockingSync), "event");
    }
    Check(cudaEventSynchronize(buffer.sent), "weights");
    if (buffer.memory.bytes() < bytes) {
      Result<PinnedMemory> memory = PinnedMemory::Allocate(std::max(bytes, kPieceBytes), "weights on their way");
      if (!memory.ok()) return memory.status();
      buffer.memory = std::move(memory).value();
    }
    CHORALE_RETURN_IF_ERROR(ReadRows(piece.tensor, piece.row, piece.rows, piece.dtype, &wide_, buffer.memory.data()));
    Check(cudaMemcpy2DAsync(piece.target, static_cast<size_t>(piece.stride * ElementBytes(piece.dtype)),
                            buffer.memory.data(), static_cast<size_t>(row_bytes), static_cast<size_t>(row_bytes),
                            static_cast<size_t>(piece.rows), cudaMemcpyHostToDevice, stream_),
          "weights");
    Check(cudaEventRecord(buffer.sent, stream_), "weights");
    return Status::Ok();
  }
  void Finish() const { Check(cudaStreamSynchronize(stream_), "weights"); }

 private:
  struct Buffer {
    PinnedMemory memory;
    cudaEvent_t sent = nullptr;
  };

  cudaStream_t stream_ = nullptr;
  Buffer buffers_[2];
  int32_t next_ = 0;
  std::vector<float> wide_;  // of what is converted
};

WeightUploader::~WeightUploader() {
  GiveUp(Status::Invalid("the upload of weights was given up"));
  (void)Finish();
}

void WeightUploader::Add(const HostTensor& tensor, int32_t dtype, uint8_t* target, int64_t stride) {
  const int64_t row_bytes = tensor.cols * ElementBytes(dtype);
  const int64_t rows = std::max<int64_t>(1, kPieceBytes / row_bytes);
  {
    std::lock_guard lock(mutex_);
    for (int64_t row = 0; row < tensor.rows; row += rows) {
      pieces_.push_back({tensor, dtype, row, std::min(rows, tensor.rows - row),
                         target + row * stride * ElementBytes(dtype), stride});
    }
  }
  changed_.notify_all();
  const size_t wanted = std::clamp<size_t>(std::thread::hardware_concurrency() / 2, 2, kThreadsMost);
  if (threads_.size() < wanted) threads_.emplace_back([this] { Work(); });
}

bool WeightUploader::Take(Piece* piece) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return complete_ || !pieces_.empty(); });
  if (pieces_.empty()) return false;
  *piece = std::move(pieces_.front());
  pieces_.pop_front();
  return true;
}

void WeightUploader::GiveUp(const Status& reason) {
  std::lock_guard lock(mutex_);
  if (failure_.ok()) failure_ = reason;
  pieces_.clear();
}

void WeightUploader::Work() {
  try {
    Check(cudaSetDevice(device_), "the shard's device");
    Worker worker;
    Piece piece;
    while (Take(&piece)) {
      if (const Status status = worker.Upload(piece); !status.ok()) GiveUp(status);
    }
    worker.Finish();
  } catch (const std::exception& error) {
    GiveUp(Status::Dead(error.what()));
  }
}

Status WeightUploader::Finish() {
  {
    std::lock_guard lock(mutex_);
    complete_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return failure_;
}

}  // namespace chorale::cuda
