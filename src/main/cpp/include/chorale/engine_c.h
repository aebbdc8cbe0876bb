// The whole C ABI of the engine: what Java sees, and nothing else.
//
// Rules
//   * Every function is noexcept, returns a ch_status, and on failure leaves a sentence for ch_last_error().
//   * Requests and answers travel in flat little-endian buffers (step_abi.h, image_abi.h); no callbacks,
//     no structs by value, no per-request state on this side.
//   * An engine is a handle; 0 is never a valid handle.
//   * Threads: ch_engine_begin / _late / _await are called by one thread (the serving thread).
//     ch_adapter_stage, _release and _bytes may be called by any thread at any time. They touch host memory only, but that
//     staging DoRA reads the base's weights.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Status of a call. The three failures are kinds, not codes: what to do about each differs.
enum ch_status {
  CH_OK = 0,
  CH_INVALID_ARGUMENT = 1,    // the buffer, file or argument is wrong; nothing has changed; carry on
  CH_RESOURCE_EXHAUSTED = 2,  // memory or another bounded resource is used up; nothing has changed; carry on
  CH_DEAD = 3,                // a broken invariant or device: every later call returns CH_DEAD
};

// The ABI's version: Java refuses to start with a library of another version.
int32_t ch_abi_version(void);

// Writes the layout constants of step_abi.h and image_abi.h as lines "name=value\n" (UTF-8, no terminator).
// Java compares them with its own at start. Returns CH_RESOURCE_EXHAUSTED when capacity is too small.
// *bytes_out: bytes written (or needed).
int32_t ch_abi_describe(uint8_t* out, int64_t capacity, int64_t* bytes_out);

// The message of the last failure on this thread, UTF-8, cut to capacity. Returns its full length in bytes.
int64_t ch_last_error(uint8_t* out, int64_t capacity);

// Creates an engine.
//   config: lines "key=value\n"; unknown keys and values out of range are refused by name. Keys:
//     backend         cpu | cuda                    (default cpu)
//     mode            fast | reference              (cpu only; default fast, or $CHORALE_CPU)
//     threads         worker threads of all shards, 0 = one a core (default 0)
//     pool_bytes      bytes of the page pool of all shards together
//                                                   (required; cuda: 0, the default, for what the devices have left)
//     page_count      pages of the pool, instead of pool_bytes (default 0: as pool_bytes says)
//     page_tokens     16 | 32 | 64: tokens of a page (default 0: by the shape of the model and the backend's type)
//     slots_max       resident adapters             (default 256)
//     scratch_max     sequences with penalties      (default 256)
//     rows_max        rows of a step                (default 4096)
//     sequences_max   sequences of a step           (default 512)
//     samples_max     sampled rows of a step        (default 512)
//     merge           auto | shadow | in_place: where a merge puts its sums; auto: in copies of the weights, or in the
//                     weights themselves when there is no memory for copies (cuda only; default auto)
//     graphs          0 | 1: record and replay the launches of decode steps (cuda only; default 1)
//     poison          0 | 1: freed and unwritten memory is filled with NaN and checked (default 0)
//     record_dir, record_steps   keep the last N step buffers there (default none, 64)
//     shards          parts the model is cut into, each with an engine of its own (default 1)
//     lora_sharding   replicate | sharded: how adapters are cut (shard/shard.h; default replicate)
//     library_dir     where backend plugins lie     (default: beside this library)
//   manifest: a model manifest (image_abi.h).
int32_t ch_engine_create(const uint8_t* config, int64_t config_bytes, const uint8_t* manifest, int64_t manifest_bytes,
                         int64_t* engine_out);

// Writes what the engine turned out to be, as lines "key=value\n": backend, device, mode, page_count, page_bytes,
// page_tokens, slice_bytes, kv_type, layers, hidden, vocab, context_max, slots_max, scratch_max, rows_max,
// sequences_max, samples_max, layer_groups, weight_bytes, shards, steps_in_flight_max. Bytes are of all shards together.
int32_t ch_engine_spec(int64_t engine, uint8_t* out, int64_t capacity, int64_t* bytes_out);

// Hands over one step. The buffer is read completely before the call returns; it may be reused at once.
// At most steps_in_flight_max (2) steps may be begun and not yet awaited. A refused step changes nothing.
int32_t ch_engine_begin(int64_t engine, const uint8_t* step, int64_t bytes);

// Hands over the late part (masks, logit bias) of the begun step whose flag CH_STEP_LATE is set.
int32_t ch_engine_late(int64_t engine, const uint8_t* late, int64_t bytes);

// Waits for the oldest begun step and writes its result. Blocks.
// A fault of the step itself (status field of the result) is CH_OK here; CH_DEAD means the engine is gone.
int32_t ch_engine_await(int64_t engine, uint8_t* result, int64_t capacity, int64_t* bytes_out);

// Reads and checks one adapter (an adapter manifest of image_abi.h) into host memory in device layout. For DoRA it measures
// rows of the base's weights, on a GPU with memory and kernels of its own; while an adapter is merged into them in place that
// is CH_RESOURCE_EXHAUSTED.
//   *staged_out: handle; *pages_out: pages it will take when resident; *bytes_out: host bytes it holds.
int32_t ch_adapter_stage(int64_t engine, const uint8_t* manifest, int64_t manifest_bytes, int64_t* staged_out,
                         int64_t* pages_out, int64_t* bytes_out);

// Frees a staged adapter. Loads that were begun keep it alive until they end.
int32_t ch_adapter_release(int64_t engine, int64_t staged);

// Host memory that staged adapters have and nobody has freed, in *bytes_out: released ones too, while a load needs them.
int32_t ch_adapter_bytes(int64_t engine, int64_t* bytes_out);

// Test and audit hooks; refused by name unless the engine was created with poison=1.
//   ch_adapter_poison fills the host image with NaN; ch_pool_poison fills the given pages of the pool with NaN;
//   ch_weights_digest hashes the bytes of the base weights as they are in memory now.
int32_t ch_adapter_poison(int64_t engine, int64_t staged);
int32_t ch_pool_poison(int64_t engine, const int32_t* pages, int64_t count);
int32_t ch_weights_digest(int64_t engine, int64_t* digest_out);

// Writes what is known of the health of this machine's GPUs, as lines "INDEX.key=value\n" (base/device_watch.h); nothing
// where there is no driver. Any thread; takes milliseconds.
int32_t ch_devices_describe(uint8_t* out, int64_t capacity, int64_t* bytes_out);

// Waits for begun steps, then frees everything.
int32_t ch_engine_destroy(int64_t engine);

#ifdef __cplusplus
}
#endif
