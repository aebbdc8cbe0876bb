package io.chorale.parity;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads tensors of small safetensors files, apart from the code under test. */
final class TensorReader {
    private TensorReader() {}

    static boolean has(Path file, String tensor) throws IOException {
        return header(Files.readAllBytes(file)).has(tensor);
    }

    static float[] read(Path file, String tensor) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        JsonNode entry = header(bytes).path(tensor);
        int start = 8 + headerBytes(bytes) + entry.path("data_offsets").path(0).asInt();
        int end = 8 + headerBytes(bytes) + entry.path("data_offsets").path(1).asInt();
        ByteBuffer data = ByteBuffer.wrap(bytes, start, end - start).order(ByteOrder.LITTLE_ENDIAN);
        String type = entry.path("dtype").asText();
        float[] values = new float[(end - start) / (type.equals("F32") ? 4 : 2)];
        for (int i = 0; i < values.length; i++) {
            values[i] = switch (type) {
                case "F32" -> data.getFloat();
                case "F16" -> Float.float16ToFloat(data.getShort());
                case "BF16" -> Float.intBitsToFloat(data.getShort() << 16);
                default -> throw new IOException(tensor + " is of " + type);
            };
        }
        return values;
    }

    private static int headerBytes(byte[] bytes) {
        return (int) ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong();
    }

    private static JsonNode header(byte[] bytes) throws IOException {
        return new ObjectMapper().readTree(bytes, 8, headerBytes(bytes));
    }
}
