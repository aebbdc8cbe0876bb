package io.chorale.config;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** The LoRA adapters. */
@ConfigMapping(prefix = "chorale.adapters")
public interface AdapterSettings {
    /** What becomes of an adapter that names another base model. */
    enum BaseCheck {
        /** It is served, and that is said. */
        WARN,
        /** It is refused. */
        ENFORCE,
        /** Nobody looks. */
        OFF
    }

    /** Folder whose sub-folders are adapters. Unset: "adapters" beside the model's folder, where there is one. */
    Optional<Path> dir();

    /** How often that folder is looked at for adapters that are new, changed or gone; 0S: never. */
    @WithDefault("5S")
    Duration watch();

    /** Key for administration, sent as "Authorization: Bearer KEY". Unset: there is no administration. */
    Optional<String> adminKey();

    /**
     * Folder for what is to be known after a restart (versions, aliases, pins) and for adapters that were uploaded or
     * fetched. Unset: nothing is remembered, and nothing can be uploaded or fetched.
     */
    Optional<Path> stateDir();

    /** Folders, besides the one above, in which an administrator may name an adapter's folder. */
    Optional<List<Path>> roots();

    /**
     * What becomes of an adapter whose configuration names another base model (base_model_name_or_path): warn serves it, and
     * says so in the log and in the adapter's resource; enforce refuses it; off does not look. The last part of a name or
     * path counts, and it may be chorale.model.name or the name of the model's folder.
     */
    @WithDefault("warn")
    BaseCheck baseCheck();

    /** Bytes of the files of one adapter that is uploaded or fetched. */
    @WithDefault("1G")
    MemorySize uploadBytesMax();

    /** Host memory that adapters may take which are read but not in the page pool. */
    @WithDefault("2G")
    MemorySize hostBytes();

    /** Memory that an LM head of an adapter's own (modules_to_save) may take; a larger one is refused. */
    @WithDefault("256M")
    MemorySize headBytesMax();

    /** Adapters in the page pool at once. */
    @WithDefault("256")
    int residentMax();

    /** Adapters of random numbers. */
    Dummy dummy();

    /** Adapters that nobody trained, to measure with. */
    interface Dummy {
        /** Adapters of random numbers, named dummy-0000 and on, beside those of the folder; each is made when it is first wanted. */
        @WithDefault("0")
        int count();

        /** Their ranks, dealt to them in turn. */
        @WithDefault("8")
        List<Integer> ranks();

        /** The linears that they change. */
        @WithDefault("q_proj,k_proj,v_proj,o_proj")
        List<String> targets();

        /** What they are made from: the first one from this, the next from one more, and so on. */
        @WithDefault("0")
        long seed();
    }
}
