package io.chorale.adapter;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;

/** Writes small safetensors files for tests, right ones and, header by header, wrong ones. */
public final class SafetensorsWriter {
    /** A tensor whose values are those of its type: what a reader of the file gets. */
    public record Values(String type, int[] shape, float[] values) {
        public Values {
            for (int i = 0; i < values.length; i++) {
                values[i] = rounded(type, values[i]);
            }
        }

        private int bytes() {
            return values.length * (type.equals("F32") ? 4 : 2);
        }
    }

    private final Map<String, Values> tensors = new LinkedHashMap<>();

    public void add(String name, Values tensor) {
        tensors.put(name, tensor);
    }

    public void write(Path file) throws IOException {
        StringJoiner header = new StringJoiner(",", "{", "}").add("\"__metadata__\":{\"format\":\"pt\"}");
        int at = 0;
        for (Map.Entry<String, Values> entry : tensors.entrySet()) {
            Values tensor = entry.getValue();
            header.add(entry(entry.getKey(), tensor.type(), tensor.shape(), at, at + tensor.bytes()));
            at += tensor.bytes();
        }
        ByteBuffer data = ByteBuffer.allocate(at).order(ByteOrder.LITTLE_ENDIAN);
        for (Values tensor : tensors.values()) {
            for (float value : tensor.values()) {
                switch (tensor.type()) {
                    case "F32" -> data.putFloat(value);
                    case "F16" -> data.putShort(Float.floatToFloat16(value));
                    default -> data.putShort((short) (Float.floatToIntBits(value) >>> 16));
                }
            }
        }
        Files.write(file, file(header.toString(), data.array()));
    }

    static String entry(String name, String type, int[] shape, long begin, long end) {
        return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + Arrays.toString(shape)
                + ",\"data_offsets\":[" + begin + "," + end + "]}";
    }

    /** A file of this header and this data. */
    static byte[] file(String header, byte[] data) {
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + json.length + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(json.length)
                .put(json)
                .put(data)
                .array();
    }

    static byte[] file(List<String> entries, int dataBytes) {
        return file("{" + String.join(",", entries) + "}", new byte[dataBytes]);
    }

    private static float rounded(String type, float value) {
        return switch (type) {
            case "F32" -> value;
            case "F16" -> Float.float16ToFloat(Float.floatToFloat16(value));
            case "BF16" -> Float.intBitsToFloat((Float.floatToIntBits(value) + 0x8000) & 0xffff0000);
            default -> throw new IllegalArgumentException(type);
        };
    }
}
