package io.chorale.config;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithConverter;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;

/** What computes. */
@ConfigMapping(prefix = "chorale.engine")
public interface EngineSettings {
    /** Where the model is computed. */
    enum Kind {
        /** CUDA where its plugin and a driver are, else the CPU; that too where CUDA fails and one shard is asked for. */
        AUTO,
        CPU,
        CUDA,
        /** Nothing is computed: tokens come from a hash, and no weights are read. For tests of everything else. */
        SIMULATED
    }

    /** How adapters are cut where the model is cut into shards. */
    enum LoraSharding {
        /** One of an adapter's two factors is whole in every shard: no communication is added. */
        REPLICATE,
        /** Both are cut, as S-LoRA does: least memory, and up to four small collectives more a layer. */
        SHARDED;

        /** As the engine names it. */
        public String key() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Where the sums of weights and a merged adapter go. */
    enum Merging {
        /** Into copies, or into the weights themselves where there is no memory for copies. */
        AUTO,
        SHADOW,
        IN_PLACE;

        /** As the engine names it. */
        public String key() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** What computes: auto, cpu, cuda or simulated. */
    @WithDefault("auto")
    Kind kind();

    /** Worker threads of the CPU engine, of all its shards together; 0: one a core. */
    @WithDefault("0")
    int threads();

    /**
     * Memory of the page pool, of all shards together, which KV cache and adapters share. Unset: on a GPU what the
     * weights leave of its memory; on the CPU enough for 64 contexts of full length, but at most a quarter of the
     * machine's memory.
     */
    Optional<MemorySize> poolBytes();

    /**
     * Parts that the model is cut into, each computed on a GPU of its own, or by a part of the CPU's threads. Heads and
     * the MLP's width must divide.
     */
    @WithDefault("1")
    int shards();

    /** How adapters are cut among the shards: replicate or sharded. */
    @WithDefault("replicate")
    LoraSharding loraSharding();

    /**
     * Where an adapter is merged: shadow (copies of the weights that it touches), in-place (a GPU's weights themselves,
     * with a log that gives them back to the bit, for which memory is kept at the start) or auto: copies, and in place
     * where there is no memory for them.
     */
    @WithDefault("auto")
    Merging merging();

    /** Whether the next step is planned and begun while the engine still computes the one before. */
    @WithDefault("true")
    @WithConverter(FlagText.class)
    boolean overlapped();

    /** Folder for the last steps, which step_replay reads. Unset: they are not kept. */
    Optional<Path> recordDir();

    /** How many steps are kept there. */
    @WithDefault("64")
    int recordSteps();

    /** The engine of kind simulated. */
    Simulated simulated();

    /** How an engine behaves that computes nothing. */
    interface Simulated {
        /** How long a step takes. */
        @WithDefault("5MS")
        Duration step();

        /** How likely an answer ends at each token. */
        @WithDefault("0.01")
        double stopProbability();

        /** The step at which it dies, to see what the service does then. Unset: never. */
        OptionalLong diesAtStep();
    }
}
