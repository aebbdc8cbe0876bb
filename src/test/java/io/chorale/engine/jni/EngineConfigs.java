package io.chorale.engine.jni;

/** Engines of other kinds than are served from. */
public final class EngineConfigs {
    private EngineConfigs() {}

    /** Freed and unwritten memory is filled with NaN. */
    public static NativeEngineConfig poisoned(NativeEngineConfig config) {
        return with(config, config.mode(), true, config.shards(), config.loraSharding());
    }

    public static NativeEngineConfig inMode(String mode, NativeEngineConfig config) {
        return with(config, mode, config.poison(), config.shards(), config.loraSharding());
    }

    public static NativeEngineConfig inShards(int shards, String loraSharding, NativeEngineConfig config) {
        return with(config, config.mode(), config.poison(), shards, loraSharding);
    }

    private static NativeEngineConfig with(
            NativeEngineConfig config, String mode, boolean poison, int shards, String loraSharding) {
        return new NativeEngineConfig(
                config.backend(),
                mode,
                config.threads(),
                config.poolBytes(),
                config.slotsMax(),
                config.scratchMax(),
                config.rowsMax(),
                config.sequencesMax(),
                config.samplesMax(),
                poison,
                config.recordDir(),
                config.recordSteps(),
                shards,
                loraSharding,
                config.merge());
    }
}
