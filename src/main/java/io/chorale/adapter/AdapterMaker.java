package io.chorale.adapter;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.StringJoiner;

/**
 * Makes adapters of random weights for a model, as PEFT would save them (bfloat16): for measuring, where it matters how
 * many there are and not what they say.
 */
public final class AdapterMaker {
    private static final int BF16_BYTES = 2;

    /** Of its tensors, which are made in one piece with their header. */
    private static final long BYTES_MAX = Integer.MAX_VALUE - (1 << 20);

    /** Small enough not to drown the base model. */
    private static final double WEIGHT_MAX = 0.02;

    private final ModelShape base;
    private final String baseName;
    private final int rank;
    private final List<Target> targets;

    /** @param targets linears to change, such as {@code q_proj} */
    public AdapterMaker(ModelShape base, String baseName, int rank, List<String> targets) throws FileRejectedException {
        this.base = base;
        this.baseName = baseName;
        this.rank = rank;
        this.targets = new ArrayList<>();
        for (Target target : Target.values()) {
            if (targets.contains(target.shortName())) {
                this.targets.add(target);
            }
        }
        if (this.targets.size() != targets.size()) {
            throw new FileRejectedException("one of " + targets + " is no linear that LoRA can change");
        }
        long bytes = this.targets.stream()
                .mapToLong(target -> ((long) target.in(base) + target.out(base)) * rank * BF16_BYTES * base.layers())
                .sum();
        if (bytes > BYTES_MAX) {
            throw new FileRejectedException(
                    "an adapter of rank %d on these linears takes %,d bytes; at most %,d are made"
                            .formatted(rank, bytes, BYTES_MAX));
        }
    }

    /** Makes {@code count} adapters named {@code prefix-00000} and on; one that is there is left as it is. */
    public void make(Path folder, String prefix, int count) throws IOException {
        for (int i = 0; i < count; i++) {
            Path adapter = folder.resolve(String.format("%s-%05d", prefix, i));
            if (!Files.exists(adapter.resolve(PeftAdapter.WEIGHTS))) {
                Files.createDirectories(adapter);
                Files.writeString(adapter.resolve(PeftAdapter.CONFIG), config());
                Files.write(adapter.resolve(PeftAdapter.WEIGHTS), weights(new SplittableRandom(i)));
            }
        }
    }

    private String config() {
        StringJoiner names = new StringJoiner("\",\"", "\"", "\"");
        targets.forEach(target -> names.add(target.shortName()));
        return """
                {"peft_type":"LORA","task_type":"CAUSAL_LM","base_model_name_or_path":"%s","r":%d,"lora_alpha":%d,\
                "target_modules":[%s],"bias":"none"}
                """.formatted(baseName, rank, 2 * rank, names);
    }

    private byte[] weights(SplittableRandom random) {
        StringJoiner header = new StringJoiner(",", "{", "}");
        int dataBytes = 0;
        for (int layer = 0; layer < base.layers(); layer++) {
            for (Target target : targets) {
                dataBytes = tensor(header, layer, target, "A", rank, target.in(base), dataBytes);
                dataBytes = tensor(header, layer, target, "B", target.out(base), rank, dataBytes);
            }
        }
        byte[] json = header.toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer file =
                ByteBuffer.allocate(Long.BYTES + json.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        file.putLong(json.length).put(json);
        while (file.hasRemaining()) {
            float weight = (float) random.nextDouble(-WEIGHT_MAX, WEIGHT_MAX);
            file.putShort((short) (Float.floatToIntBits(weight) >>> 16));
        }
        return file.array();
    }

    /** Enters one tensor; returns where the next begins. */
    private static int tensor(
            StringJoiner header, int layer, Target target, String matrix, int rows, int cols, int begin) {
        int end = begin + rows * cols * BF16_BYTES;
        header.add("\"base_model.model.model.layers." + layer + "." + target.module + ".lora_" + matrix
                + ".weight\":{\"dtype\":\"BF16\",\"shape\":[" + rows + "," + cols + "],\"data_offsets\":[" + begin + ","
                + end + "]}");
        return end;
    }
}
