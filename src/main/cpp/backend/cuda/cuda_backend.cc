#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "backend/plugin.h"
#include "base/convert.h"
#include "kernels/random.h"
#include "model/image_view.h"
#include "shard/shard_cut.h"

namespace chorale::cuda {
namespace {

constexpr int32_t kHeadDimMax = 512;
constexpr int32_t kHiddenMax = 16384;
// Of the device's memory, beside a pool of all that is left: tables, rank activations, recordings, the driver's own.
constexpr int64_t kKeptFreeBytes = int64_t{3} << 29;
constexpr int64_t kOctetsFirst = 512;  // of ranks at a site, of all adapters of a step, that there is room for from the start

Element ElementOf(const BackendParams& params) { return params.dtype == kF16 ? Element::kF16 : Element::kBf16; }
int32_t DTypeOf(Element element) { return element == Element::kF16 ? kF16 : kBF16; }

// Read by the driver when it is first used. What the environment already says stays.
void LoadKernelsAtOnce() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("CUDA_MODULE_LOADING", "EAGER", 0); });
}

}  // namespace

Result<std::unique_ptr<Backend>> CudaBackend::Create(const BackendParams& params) {
  std::unique_ptr<CudaBackend> backend(new CudaBackend(params));
  CHORALE_RETURN_IF_ERROR(backend->Open());
  return std::unique_ptr<Backend>(std::move(backend));
}

CudaBackend::CudaBackend(const BackendParams& params)
    : shard_(params.shard),
      spec_(params.spec),
      element_(ElementOf(params)),
      geometry_(PageGeometry::Of(spec_.layers, spec_.kv_heads, spec_.head_dim, DTypeOf(element_), params.page_tokens)),
      pool_bytes_(params.page_count > 0 ? params.page_count * geometry_.page_bytes : params.pool_bytes),
      rows_max_(params.rows_max),
      samples_max_(params.samples_max),
      scratch_max_(params.scratch_max),
      slots_max_(params.slots_max),
      reference_(params.reference),
      poison_(params.poison),
      graphs_wanted_(params.graphs),
      merges_in_place_(params.merges_in_place),
      inv_freq_values_(params.inv_freq.begin(), params.inv_freq.end()) {
  for (const int32_t window : params.windows) attention_[window];
}

CudaBackend::~CudaBackend() {
  if (launcher_.stream == nullptr) return;
  cudaSetDevice(shard_.index);
  cudaStreamSynchronize(launcher_.stream);
  for (const Turn& turn : turns_) {
    for (cudaEvent_t event : {turn.begin, turn.forwarded, turn.end}) {
      if (event != nullptr) cudaEventDestroy(event);
    }
  }
  graphs_.Clear();
  nccl_.reset();
  cudaStreamDestroy(launcher_.stream);
}

Status CudaBackend::Open() {
  if (spec_.head_dim > kHeadDimMax || spec_.hidden > kHiddenMax) {
    return Status::Invalid(Format("backend=cuda: head_dim %d and hidden %d are beyond %d and %d", spec_.head_dim,
                                  spec_.hidden, kHeadDimMax, kHiddenMax));
  }
  // Loading a kernel may wait for those that run, and with shards a kernel that runs may wait for another GPU's that is
  // not launched yet: all are loaded before.
  if (shard_.count > 1) LoadKernelsAtOnce();
  int count = 0;
  if (const cudaError_t result = cudaGetDeviceCount(&count); result != cudaSuccess || count == 0) {
    return Status::Invalid(Format("backend=cuda: no device: %s", cudaGetErrorString(result)));
  }
  cudaDeviceProp properties{};
  CHORALE_RETURN_IF_ERROR(CheckShards(count));
  Bind();
  Check(cudaGetDeviceProperties(&properties, shard_.index), "the device");
  if (properties.major < 8) {
    return Status::Invalid(Format("backend=cuda: %s has compute capability %d.%d; 8.0 is the least", properties.name,
                                  properties.major, properties.minor));
  }
  Check(cudaStreamCreateWithFlags(&launcher_.stream, cudaStreamNonBlocking), "stream");
  uploader_ = std::make_unique<WeightUploader>(shard_.index);
  launcher_.sm_count = properties.multiProcessorCount;
  launcher_.sm_major = properties.major;
  launcher_.overlap = !reference_;
  std::string reason = "not used in reference mode";
  if (!reference_) cublaslt_ = CublasLt::Load(&reason);
  info_ = {.name = "cuda",
           .device = Format("%s, %s", properties.name,
                            cublaslt_ != nullptr ? cublaslt_->name().c_str() : ("no cuBLASLt: " + reason).c_str()),
           .mode = reference_ ? "reference" : "fast",
           .kv_type = element_ == Element::kF16 ? "f16" : "bf16"};

  const auto allocate = [](DeviceMemory* memory, int64_t bytes, const char* purpose) {
    Result<DeviceMemory> made = AllocateZeros(bytes, purpose);
    if (made.ok()) *memory = std::move(made).value();
    return made.status();
  };
  const int64_t half = spec_.rotary_dims / 2;
  CHORALE_RETURN_IF_ERROR(allocate(&inv_freq_, half * 4, "inverse frequencies"));
  CHORALE_RETURN_IF_ERROR(allocate(&rotation_, rows_max_ * half * 8, "rotations"));
  CHORALE_RETURN_IF_ERROR(allocate(&q_, int64_t{2} * rows_max_ * OutWidth(spec_, kQ), "queries"));
  Shard other = shard_;
  int32_t chunks = 0;
  for (other.index = 0; other.index < shard_.count; ++other.index) {
    const Part part = VocabOf(spec_, other);
    words_.push_back({.first = static_cast<int32_t>(part.begin), .count = static_cast<int32_t>(part.size()), .chunk = chunks});
    chunks += SampleChunks(words_.back().count);
  }
  CHORALE_RETURN_IF_ERROR(
      allocate(&summaries_, int64_t{samples_max_} * chunks * static_cast<int64_t>(sizeof(SampleSummary)), "sampling"));
  const int64_t drawn_bytes = int64_t{4} * samples_max_ * (2 + 2 * kTopLogprobsMax);
  CHORALE_RETURN_IF_ERROR(allocate(&drawn_, drawn_bytes, "drawn tokens"));
  CHORALE_RETURN_IF_ERROR(allocate(&merge_count_, 4, "a merge"));
  CHORALE_RETURN_IF_ERROR(allocate(&drawn_apart_, int64_t{4} * samples_max_, "drawn tokens"));
  for (Turn& turn : turns_) {
    Result<PinnedMemory> host = PinnedMemory::Allocate(drawn_bytes, "drawn tokens");
    if (!host.ok()) return host.status();
    turn.drawn = std::move(host).value();
    for (cudaEvent_t* event : {&turn.begin, &turn.forwarded, &turn.end}) Check(cudaEventCreate(event), "event");
  }
  CopyToDevice(inv_freq_.data(), inv_freq_values_.data(), static_cast<size_t>(half) * 4, "inverse frequencies");
  return ConnectShards();
}

Status CudaBackend::AwaitWeights() {
  const Status arrived = uploader_->Finish();
  uploader_.reset();
  return arrived;
}

Status CudaBackend::Settle() {
  // What decode steps of the largest recorded kind need, so that it never has to grow under a recording.
  const int64_t rows = std::min({rows_max_, samples_max_, kPaddedRowsMax});
  const int64_t head_blocks =
      int64_t{spec_.kv_heads} * ((spec_.heads / spec_.kv_heads + kDecodeHeads - 1) / kDecodeHeads);
  const int64_t items = int64_t{launcher_.sm_count} * kDecodeBlocksPerSm + rows * head_blocks;
  CHORALE_RETURN_IF_ERROR(Reserve(&decode_out_, 4 * items * kDecodeHeads * spec_.head_dim, "attention"));
  CHORALE_RETURN_IF_ERROR(Reserve(&decode_stats_, 8 * items * kDecodeHeads, "attention"));
  CHORALE_RETURN_IF_ERROR(Reserve(&decode_tickets_, 4 * rows * head_blocks, "attention"));
  if (launcher_.sm_major == 9 && !shard_.cuts_both_factors()) {
    CHORALE_RETURN_IF_ERROR(PlanLoraProducts());
    CHORALE_RETURN_IF_ERROR(ReserveOctets(kOctetsFirst));
  }
  const int64_t widest = std::max<int64_t>(4 * Padded(spec_.hidden), 2 * Padded(OutWidth(spec_, kQ)));
  const int64_t left = std::clamp(rows_max_ / kNarrowRowsLeast, 1, kStreamRowsMax);
  CHORALE_RETURN_IF_ERROR(Reserve(&narrow_rows_, left * widest, "the last layer's rows"));
  if (merges_in_place_) CHORALE_RETURN_IF_ERROR(ReserveMergeLog());
  CHORALE_RETURN_IF_ERROR(MakePool());
  measure_ = std::make_unique<RowMeasure>(launcher_, element_);
  loader_ = std::make_unique<AdapterLoader>(pool_.data(), geometry_, slots_max_);
  Finish("weights");
  return Status::Ok();
}

Status CudaBackend::MakePool() {
  int64_t bytes = pool_bytes_;
  if (bytes == 0) {
    size_t free_bytes = 0, total_bytes = 0;
    Check(cudaMemGetInfo(&free_bytes, &total_bytes), "the device's memory");
    bytes = static_cast<int64_t>(free_bytes) - kKeptFreeBytes;
    if (bytes < geometry_.page_bytes) {
      return Status::Invalid(Format(
          "of the device's %.1f GB, %.2f GB are free beside the model and what other programs hold, which leaves no page for "
          "the pool: %.1f GB stay free for the driver, and a page of this model takes %lld bytes",
          1e-9 * static_cast<double>(total_bytes), 1e-9 * static_cast<double>(free_bytes), 1e-9 * kKeptFreeBytes,
          static_cast<long long>(geometry_.page_bytes)));
    }
  }
  const int64_t pages = std::min<int64_t>(bytes / geometry_.page_bytes, INT32_MAX - 1);
  if (pages < 1) {
    return Status::Invalid(Format("pool_bytes=%lld holds no page: a page of this model takes %lld bytes",
                                  static_cast<long long>(bytes), static_cast<long long>(geometry_.page_bytes)));
  }
  Result<DeviceMemory> pool = AllocateZeros((pages + 1) * geometry_.page_bytes, "the page pool");
  if (!pool.ok()) return pool.status();
  pool_ = std::move(pool).value();
  page_count_ = static_cast<int32_t>(pages);
  if (poison_) Check(cudaMemset(pool_.data(), 0xff, static_cast<size_t>(pool_.bytes())), "poison");
  Check(cudaStreamSynchronize(nullptr), "the page pool");
  if (launcher_.sm_major == 9 && !EncodePoolMaps(element_, pool_.data(), pool_.bytes(), &stream_lora_)) {
    return Status::Exhausted(Format("the driver makes no tensor map of a page pool of %.1f GB", 1e-9 * static_cast<double>(pool_.bytes())));
  }
  return Status::Ok();
}

BackendCounters CudaBackend::counters() const {
  return {.device_allocations = counts.device_allocations.load(),
          .host_allocations = counts.host_allocations.load(),
          .waits = counts.waits.load(),
          .graph_captures = graphs_.captures(),
          .graph_replays = graphs_.replays(),
          .steps_collected = collected_.load()};
}

void CudaBackend::Finish(const char* what) {
  Check(launcher_.error, what);
  Wait(launcher_.stream, what);
}

// ---- weights and activations ----------------------------------------------------------------------------------------

void CudaBackend::FinishMatrix(CudaMatrix* matrix) const {
  const auto cols = static_cast<int32_t>(Padded(matrix->rows())), inputs = static_cast<int32_t>(matrix->cols());
  matrix->split = PlanProduct(cols, inputs, launcher_.sm_count);
  matrix->whole = PlanProduct(cols, inputs, 1);
  matrix->whole.units_per_block = matrix->whole.units_per_tile;
  matrix->whole.blocks = static_cast<int32_t>(matrix->whole.units / matrix->whole.units_per_tile);
  matrix->whole.partials_max = 1;
  matrix->mapped = launcher_.sm_major == 9 && !reference_ &&
                   EncodeStreamMap(element_, matrix->memory.data(), matrix->rows(), matrix->cols(), matrix->stride,
                                   kProductTile, &matrix->map);
}

Result<std::unique_ptr<Weight>> CudaBackend::MakeMatrix(std::span<const HostTensor> parts) {
  int64_t rows = 0;
  for (const HostTensor& part : parts) rows += part.rows;
  const int64_t cols = parts[0].cols, stride = Padded(cols);
  Result<DeviceMemory> memory = AllocateZeros(2 * Padded(rows) * stride, "a weight");
  if (!memory.ok()) {
    uploader_->GiveUp(memory.status());
    return memory.status();
  }
  auto matrix = std::make_unique<CudaMatrix>(rows, cols, std::move(memory).value());
  auto* target = matrix->memory.data();
  for (const HostTensor& part : parts) {
    const NoiseCut cut{.first = part.first, .cols = cols, .stride = part.contiguous() ? cols : part.stride};
    if (part.noise && cols == stride && cut.in_quads()) {  // made where it stays
      FillNormal(launcher_, element_, target, part.rows * cols, cut, part.noise->seed, part.noise->deviation);
    } else {
      uploader_->Add(part, DTypeOf(element_), target, stride);
    }
    target += part.rows * stride * 2;
  }
  FinishMatrix(matrix.get());
  matrices_.emplace(std::pair(rows, cols), matrix.get());
  return std::unique_ptr<Weight>(std::move(matrix));
}

Result<std::unique_ptr<Weight>> CudaBackend::MakeVector(std::span<const HostTensor> parts) {
  std::vector<float> values;
  for (const HostTensor& part : parts) {
    const size_t end = values.size();
    values.resize(end + static_cast<size_t>(part.cols));
    part.Read(0, part.cols, values.data() + end);
  }
  const auto cols = static_cast<int64_t>(values.size());
  Result<DeviceMemory> memory = AllocateZeros(4 * Padded(cols), "a vector");
  if (!memory.ok()) return memory.status();
  CopyToDevice(memory.value().data(), values.data(), values.size() * 4, "a vector");
  return std::unique_ptr<Weight>(std::make_unique<CudaVector>(cols, std::move(memory).value()));
}

Result<std::unique_ptr<Activation>> CudaBackend::MakeActivation(ActivationKind kind, int64_t rows_max, int64_t cols) {
  const int64_t stride = Padded(cols);
  // A product of few rows may be in several parts, one of many rows is whole.
  const int64_t product_rows = std::max(rows_max, std::min<int64_t>(rows_max, kStreamRowsMax) * kProductPartialsMax);
  const int64_t bytes = kind == ActivationKind::kInput      ? 2 * rows_max * stride
                        : kind == ActivationKind::kResidual ? 4 * rows_max * stride
                                                            : 4 * product_rows * stride;
  Result<DeviceMemory> memory = AllocateZeros(bytes, "activations");
  if (!memory.ok()) return memory.status();
  auto activation = std::make_unique<CudaActivation>(kind, rows_max, cols, std::move(memory).value());
  activation->product = {activation->memory.data(), rows_max * stride, static_cast<int32_t>(stride), 1, 1, false};
  if (kind == ActivationKind::kInput && launcher_.sm_major == 9 && !reference_) {
    activation->mapped = true;
    for (int32_t i = 0; i < kStreamBoxes; ++i) {
      activation->mapped = activation->mapped && EncodeStreamMap(element_, activation->memory.data(), rows_max, cols,
                                                                 stride, 16 << i, &activation->maps[i]);
    }
    if (cols % kUnitInputs == 0) {
      activation->mapped = activation->mapped && EncodePatchMap(element_, activation->memory.data(), rows_max, cols, stride,
                                                                &activation->patch_map);
    }
  }
  const CudaActivation*& widest = kind == ActivationKind::kInput ? widest_input_ : widest_product_;
  if (kind != ActivationKind::kResidual && (widest == nullptr || widest->memory.bytes() < bytes)) widest = activation.get();
  return std::unique_ptr<Activation>(std::move(activation));
}

uint64_t CudaBackend::Digest(const Weight& weight, uint64_t previous) const {
  const auto* matrix = dynamic_cast<const CudaMatrix*>(&weight);
  const DeviceMemory& memory = matrix != nullptr ? matrix->memory : static_cast<const CudaVector&>(weight).memory;
  std::vector<uint8_t> bytes(static_cast<size_t>(memory.bytes()));
  Check(cudaStreamSynchronize(launcher_.stream), "a weight");  // it may still be being made
  Check(cudaMemcpy(bytes.data(), memory.data(), bytes.size(), cudaMemcpyDeviceToHost), "a weight");
  uint64_t hash = previous;
  for (uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3ULL;
  return hash;
}

}  // namespace chorale::cuda

extern "C" __attribute__((visibility("default"))) chorale::Backend* chorale_create_backend(
    int32_t abi_version, const chorale::BackendParams& params, chorale::Status* error) {
  using chorale::Format;
  using chorale::Status;
  if (abi_version != chorale::kPluginVersion) {
    *error = Status::Invalid(
        Format("backend=cuda: the plugin has version %d, the engine wants %d", chorale::kPluginVersion, abi_version));
    return nullptr;
  }
  try {
    auto backend = chorale::cuda::CudaBackend::Create(params);
    if (backend.ok()) return std::move(backend).value().release();
    *error = backend.status();
  } catch (const std::exception& failure) {
    *error = Status::Dead(failure.what());
  }
  return nullptr;
}
