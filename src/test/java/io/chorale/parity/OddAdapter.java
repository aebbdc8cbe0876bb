package io.chorale.parity;

import io.chorale.adapter.SafetensorsWriter;
import io.chorale.adapter.SafetensorsWriter.Values;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/**
 * A random LoRA adapter: its files as PEFT saves them, and its pairs for the oracle.
 *
 * @param config adapter_config.json
 * @param pairs by module path, such as {@code model.layers.0.mlp.up_proj}
 * @param keyForm of a tensor's name, with %s for the module and %s for A or B
 */
record OddAdapter(String name, String config, Map<String, Pair> pairs, String keyForm, String type) {
    static final String PEFT_KEY = "base_model.model.%s.lora_%s.weight";

    /** What is added to a linear: scale times B times A. */
    record Pair(int rank, double scale, Values a, Values b) {}

    /** Which rank and scale a module has; a rank of 0: none. */
    interface Ranks {
        int rank(int layer, String target);

        default double scale(int layer, String target, int rank) {
            return 2;
        }
    }

    static OddAdapter of(OddModel base, String name, String config, String keyForm, String type, Ranks ranks) {
        Random random = new Random(name.hashCode());
        Map<String, Pair> pairs = new LinkedHashMap<>();
        for (int layer = 0; layer < base.size("num_hidden_layers"); layer++) {
            for (String target : OddModel.TARGETS) {
                int rank = ranks.rank(layer, target);
                if (rank > 0) {
                    int[] shape = base.shape(target);
                    pairs.put(
                            "model.layers." + layer + "." + target,
                            new Pair(
                                    rank,
                                    ranks.scale(layer, target, rank),
                                    OddModel.random(random, type, 0, 0.15, rank, shape[1]),
                                    OddModel.random(random, type, 0, 0.15, shape[0], rank)));
                }
            }
        }
        return new OddAdapter(name, config, pairs, keyForm, type);
    }

    Path write(Path parent) throws IOException {
        Path folder = Files.createDirectories(parent.resolve(name));
        Files.writeString(folder.resolve("adapter_config.json"), config);
        SafetensorsWriter file = new SafetensorsWriter();
        pairs.forEach((module, pair) -> {
            file.add(String.format(keyForm, module, "A"), pair.a());
            file.add(String.format(keyForm, module, "B"), pair.b());
        });
        file.write(folder.resolve("adapter_model.safetensors"));
        return folder;
    }
}
