package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What a safetensors header may say, and every way in which it can lie. */
class SafetensorsFileTest {
    private static final Path FILE = Path.of("f.safetensors");

    @TempDir
    Path folder;

    @Test
    void readsWhatIsThere() throws Exception {
        byte[] bytes = SafetensorsWriter.file(
                List.of(
                        "\"__metadata__\":{\"format\":\"pt\"}",
                        SafetensorsWriter.entry("b", "BF16", new int[] {2, 3}, 4, 16),
                        SafetensorsWriter.entry("scalar", "F32", new int[] {}, 0, 4),
                        SafetensorsWriter.entry("none", "F64", new int[] {0, 7}, 16, 16)),
                16);
        Path file = Files.write(folder.resolve("m.safetensors"), bytes);
        SafetensorsFile read = SafetensorsFile.open(file);
        int dataAt = bytes.length - 16;
        assertEquals(
                List.of(
                        new SafetensorsFile.Tensor("b", ElementType.BF16, List.of(2L, 3L), dataAt + 4, 12),
                        new SafetensorsFile.Tensor("scalar", ElementType.F32, List.of(), dataAt, 4),
                        new SafetensorsFile.Tensor("none", ElementType.F64, List.of(0L, 7L), dataAt + 16, 0)),
                List.copyOf(read.tensors().values()));
        assertArrayEquals(Arrays.copyOf(bytes, dataAt), read.header());
    }

    @Test
    void readsFilesOfMoreThanTwoGigabytes() throws Exception {
        long data = 3L << 30;
        String entry = SafetensorsWriter.entry("big", "F16", new int[] {1 << 20, 1536}, 0, data);
        Path file = folder.resolve("big.safetensors");
        Files.write(file, SafetensorsWriter.file(List.of(entry), 0));
        long dataAt = Files.size(file);
        try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
            sparse.setLength(dataAt + data);
        }
        SafetensorsFile.Tensor tensor = SafetensorsFile.open(file).tensors().get("big");
        assertEquals(
                new SafetensorsFile.Tensor("big", ElementType.F16, List.of(1L << 20, 1536L), dataAt, data), tensor);
    }

    static Stream<Arguments> lies() {
        String good = SafetensorsWriter.entry("a", "F32", new int[] {2, 2}, 0, 16);
        return Stream.of(
                lie("ends before the tensor does", List.of(good), 8, "tensor 'a' ends at byte 16 of the data"),
                lie("more data than tensors", List.of(good), 20, "4 bytes after tensor 'a' belong to no tensor"),
                lie(
                        "a hole",
                        List.of(good, SafetensorsWriter.entry("b", "U8", new int[] {4}, 20, 24)),
                        24,
                        "4 bytes between tensor 'a' and tensor 'b'"),
                lie(
                        "an overlap",
                        List.of(good, SafetensorsWriter.entry("b", "U8", new int[] {8}, 12, 20)),
                        20,
                        "tensor 'b' overlaps tensor 'a'"),
                lie("twice the same name", List.of(good, good), 16, "not valid JSON: Duplicate field 'a'"),
                lie("shape", List.of(good.replace("[2, 2]", "[2, 3]")), 16, "takes 24 bytes, but its data_offsets"),
                lie("dtype", List.of(good.replace("F32", "F16")), 16, "dtype F16 takes 8 bytes"),
                lie("unknown dtype", List.of(good.replace("F32", "F4")), 16, "unknown dtype \"F4\""),
                lie("negative size", List.of(good.replace("[2, 2]", "[-2, -2]")), 16, "shape holds -2"),
                lie("fraction", List.of(good.replace("[2, 2]", "[2.0, 2]")), 16, "shape is not an integer"),
                lie(
                        "overflow",
                        List.of(good.replace("[2, 2]", "[4294967296, 4294967296]")),
                        16,
                        "more bytes than can be counted"),
                lie("beyond long", List.of(good.replace("[2, 2]", "[99999999999999999999]")), 16, "out of range"),
                lie("offsets swapped", List.of(good.replace("[0,16]", "[16,0]")), 16, "not [begin, end]"),
                lie("one offset", List.of(good.replace("[0,16]", "[16]")), 16, "not [begin, end]"),
                lie("three offsets", List.of(good.replace("[0,16]", "[0,8,16]")), 16, "more than 2 entries"),
                lie(
                        "many dimensions",
                        List.of(good.replace("[2, 2]", "[1" + ",1".repeat(16) + "]")),
                        16,
                        "more than 16"),
                lie("no offsets", List.of("\"a\":{\"dtype\":\"F32\",\"shape\":[4]}"), 16, "has no data_offsets"),
                lie(
                        "an unknown field",
                        List.of(good.replace("\"shape\"", "\"strides\"")),
                        16,
                        "unknown field 'strides'"),
                lie("no object", List.of("\"a\":7"), 16, "tensor 'a' is not a JSON object"),
                lie("metadata of numbers", List.of("\"__metadata__\":{\"x\":1}", good), 16, "'x' is not a string"),
                lie("nested junk", List.of("\"a\":" + "[".repeat(5000)), 16, "is not a JSON object"),
                lie("deep metadata", List.of("\"__metadata__\":{\"x\":" + "{\"y\":".repeat(999)), 16, "not a string"));
    }

    private static Arguments lie(String name, List<String> entries, int dataBytes, String message) {
        return Arguments.of(name, SafetensorsWriter.file(entries, dataBytes), message);
    }

    static Stream<Arguments> broken() {
        byte[] good = SafetensorsWriter.file(List.of(SafetensorsWriter.entry("a", "U8", new int[] {2}, 0, 2)), 2);
        byte[] invalidUtf8 = good.clone();
        invalidUtf8[10] = (byte) 0xc3;
        return Stream.of(
                Arguments.of("empty", new byte[0], "too few"),
                Arguments.of("nine bytes", Arrays.copyOf(good, 9), "too few"),
                Arguments.of("cut in the header", Arrays.copyOf(good, 30), "the file ends after 22 of them"),
                Arguments.of("length of zero", withLength(good, 0), "says that its header has 0 bytes"),
                Arguments.of(
                        "length of 2^63", withLength(good, Long.MIN_VALUE), "header has 9223372036854775808 bytes"),
                Arguments.of("too long", withLength(good, 100_000_001), "header has 100000001 bytes"),
                Arguments.of("length too small", withLength(good, 20), "in the middle of the JSON text"),
                Arguments.of("length too large", withLength(good, good.length - 8 - 1), "ends at byte 2 of the data"),
                Arguments.of("not UTF-8", invalidUtf8, "not valid JSON"),
                Arguments.of("UTF-16", utf16(), "does not begin with '{'"),
                Arguments.of("a list", SafetensorsWriter.file("[1, 2]", new byte[2]), "does not begin with '{'"));
    }

    private static byte[] withLength(byte[] file, long length) {
        byte[] changed = file.clone();
        ByteBuffer.wrap(changed).order(ByteOrder.LITTLE_ENDIAN).putLong(0, length);
        return changed;
    }

    private static byte[] utf16() {
        byte[] json = "{}".getBytes(StandardCharsets.UTF_16BE);
        return ByteBuffer.allocate(8 + json.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(json.length)
                .put(json)
                .array();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource({"lies", "broken"})
    void everyLieIsNamed(String name, byte[] bytes, String message) throws Exception {
        Path file = Files.write(folder.resolve("m.safetensors"), bytes);
        FileRejectedException rejected =
                assertThrows(FileRejectedException.class, () -> SafetensorsFile.open(file), name);
        assertTrue(
                rejected.problems().getFirst().startsWith(file + ": "),
                rejected.problems().getFirst());
        assertTrue(
                rejected.problems().getFirst().contains(message),
                rejected.problems().getFirst());
    }

    @Test
    void aMissingFileIsNamed() {
        FileRejectedException rejected =
                assertThrows(FileRejectedException.class, () -> SafetensorsFile.open(folder.resolve("nothing")));
        assertTrue(
                rejected.problems().getFirst().contains("no such file"),
                rejected.problems().getFirst());
    }

    @Test
    void paddingWithSpacesIsAllowed() throws Exception {
        String header = "{" + SafetensorsWriter.entry("a", "U8", new int[] {2}, 0, 2) + "}     ";
        byte[] bytes = SafetensorsWriter.file(header, new byte[2]);
        assertEquals(
                1, SafetensorsFile.parse(FILE, bytes.length, bytes).tensors().size());
    }
}
