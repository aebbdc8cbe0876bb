package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * Mutated headers: each is refused with a sentence, or every span of it is inside the file and nobody else's. Nothing else
 * is ever thrown.
 */
class SafetensorsFuzzTest {
    private static final int INPUTS = 100_000;
    private static final Path FILE = Path.of("fuzz");
    private static final String[] TOKENS = {
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "true",
        "-1",
        "0",
        "1e9",
        "9223372036854775807",
        "18446744073709551616",
        "\"F32\"",
        "\"BF16\"",
        "\"F64\"",
        "\"dtype\"",
        "\"shape\"",
        "\"data_offsets\"",
        "\"__metadata__\"",
        "\\u0000",
        "\\",
        "\"a\"",
        "  ",
        "\t",
        "/**/",
        "NaN",
        "4294967296"
    };

    @Test
    void mutatedHeadersAreRefusedOrTrue() {
        long seed = Long.getLong("chorale.seed", 1);
        System.out.println("SafetensorsFuzzTest: -Dchorale.seed=" + seed);
        Random random = new Random(seed);
        int accepted = 0;
        for (int input = 0; input < INPUTS; input++) {
            byte[] head = mutated(valid(random), random);
            long fileBytes = random.nextInt(8) == 0 ? random.nextInt(4096) : head.length + random.nextInt(3) * 24L;
            try {
                check(SafetensorsFile.parse(FILE, fileBytes, head), fileBytes);
                accepted++;
            } catch (FileRejectedException rejected) {
                assertTrue(
                        rejected.problems().getFirst().startsWith("fuzz: "),
                        rejected.problems().getFirst());
            } catch (RuntimeException | Error escaped) {
                throw new AssertionError("seed " + seed + ", input " + input + ": " + text(head), escaped);
            }
        }
        System.out.println("SafetensorsFuzzTest: " + accepted + " of " + INPUTS + " accepted");
        assertTrue(accepted > INPUTS / 100, "hardly any input is accepted: the mutations are too wild");
    }

    private static byte[] valid(Random random) {
        List<String> entries = new ArrayList<>();
        if (random.nextBoolean()) {
            entries.add("\"__metadata__\":{\"format\":\"pt\"}");
        }
        int at = 0;
        for (int i = 0; i < 1 + random.nextInt(4); i++) {
            int[] shape = {random.nextInt(4), 1 + random.nextInt(3)};
            int bytes = 2 * shape[0] * shape[1];
            entries.add(SafetensorsWriter.entry("t" + i, random.nextBoolean() ? "F16" : "BF16", shape, at, at + bytes));
            at += bytes;
        }
        return SafetensorsWriter.file(entries, at);
    }

    private static byte[] mutated(byte[] head, Random random) {
        byte[] bytes = head;
        for (int i = random.nextInt(4); i > 0; i--) {
            int at = bytes.length > 8 ? 8 + random.nextInt(bytes.length - 8) : 0;
            switch (random.nextInt(6)) {
                case 0 -> bytes[at % bytes.length] ^= (byte) (1 << random.nextInt(8));
                case 1 -> bytes[random.nextInt(Math.min(8, bytes.length))] = (byte) random.nextInt(256);
                case 2 -> bytes = Arrays.copyOf(bytes, Math.max(16, at));
                case 3 -> bytes = spliced(bytes, at, 0, TOKENS[random.nextInt(TOKENS.length)]);
                case 4 -> bytes = spliced(bytes, at, random.nextInt(9), "");
                default -> bytes = spliced(bytes, at, 1 + random.nextInt(3), TOKENS[random.nextInt(TOKENS.length)]);
            }
        }
        boolean honestLength = random.nextInt(4) != 0;
        if (honestLength) {
            int end = text(bytes).lastIndexOf('}') + 1;
            ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(0, Math.max(end - 8, 2));
        }
        long length = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        // The reader hands over what the length says, as far as the file goes; claims beyond are its own to refuse.
        return length >= 0 && length < 4096 ? Arrays.copyOf(bytes, Math.max(bytes.length, 8 + (int) length)) : bytes;
    }

    private static byte[] spliced(byte[] bytes, int at, int removed, String inserted) {
        byte[] text = inserted.getBytes(StandardCharsets.UTF_8);
        int rest = Math.min(bytes.length, at + removed);
        return ByteBuffer.allocate(at + text.length + bytes.length - rest)
                .put(bytes, 0, at)
                .put(text)
                .put(bytes, rest, bytes.length - rest)
                .array();
    }

    private static void check(SafetensorsFile file, long fileBytes) {
        List<SafetensorsFile.Tensor> byOffset = new ArrayList<>(file.tensors().values());
        byOffset.sort(Comparator.comparingLong(SafetensorsFile.Tensor::offset)
                .thenComparingLong(SafetensorsFile.Tensor::end));
        long end = file.header().length;
        for (SafetensorsFile.Tensor tensor : byOffset) {
            long elements = tensor.shape().stream().mapToLong(Long::longValue).reduce(1, (a, b) -> a * b);
            assertTrue(tensor.offset() >= end && tensor.end() <= fileBytes, () -> tensor + " is not its own");
            assertTrue(elements * tensor.type().bytes == tensor.bytes(), () -> tensor + " has other bytes");
            end = tensor.end();
        }
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }
}
