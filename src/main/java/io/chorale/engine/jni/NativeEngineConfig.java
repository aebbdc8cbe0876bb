package io.chorale.engine.jni;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * How a native engine is made.
 *
 * @param backend {@code cpu} or {@code cuda}
 * @param mode {@code fast} or {@code reference} (CPU only); empty: what {@code CHORALE_CPU} says, else fast
 * @param threads worker threads; 0: one a core
 * @param poolBytes memory of the page pool, for KV cache and adapters together; 0 (cuda): what the device has left
 * @param slotsMax adapters resident at once
 * @param scratchMax sequences with penalties at once
 * @param rowsMax rows of a step
 * @param sequencesMax sequences of a step
 * @param samplesMax sampled rows of a step
 * @param poison freed and unwritten memory is filled with NaN, and the audit hooks are there
 * @param recordDir where the last steps are kept for replay; empty: nowhere
 * @param recordSteps how many of them
 * @param shards parts that the model is cut into; memory and threads are shared out among them
 * @param loraSharding {@code replicate} or {@code sharded}: how adapters are cut
 * @param merge {@code auto}, {@code shadow} or {@code in_place} (CUDA only): where adapters are merged
 */
public record NativeEngineConfig(
        String backend,
        String mode,
        int threads,
        long poolBytes,
        int slotsMax,
        int scratchMax,
        int rowsMax,
        int sequencesMax,
        int samplesMax,
        boolean poison,
        String recordDir,
        int recordSteps,
        int shards,
        String loraSharding,
        String merge) {

    public static NativeEngineConfig cpu(long poolBytes) {
        return new NativeEngineConfig(
                "cpu", "", 0, poolBytes, 256, 256, 4096, 512, 512, false, "", 64, 1, "replicate", "auto");
    }

    String lines(String libraryDir) {
        Map<String, Object> values = new LinkedHashMap<>();
        values.put("backend", backend);
        if (!mode.isEmpty()) {
            values.put("mode", mode);
        }
        values.put("threads", threads);
        values.put("pool_bytes", poolBytes);
        values.put("slots_max", slotsMax);
        values.put("scratch_max", scratchMax);
        values.put("rows_max", rowsMax);
        values.put("sequences_max", sequencesMax);
        values.put("samples_max", samplesMax);
        values.put("poison", poison ? 1 : 0);
        if (!recordDir.isEmpty()) {
            values.put("record_dir", recordDir);
            values.put("record_steps", recordSteps);
        }
        values.put("shards", shards);
        values.put("lora_sharding", loraSharding);
        values.put("merge", merge);
        values.put("library_dir", libraryDir);
        return EngineLines.write(values);
    }
}
