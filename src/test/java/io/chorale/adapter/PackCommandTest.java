package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The packed image, read back byte by byte as chorale/image_abi.h says, and the command around it. */
class PackCommandTest {
    private static final Path MODEL = Path.of("src/test/resources/parity/llama-gqa/model");
    private static final Path ADAPTERS = Path.of("src/test/resources/parity/llama-gqa/adapters");

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @TempDir
    Path folder;

    private int run(Object... args) {
        List<String> texts = Stream.of(args).map(Object::toString).toList();
        return PackCommand.run(texts, new PrintStream(out, true), new PrintStream(err, true));
    }

    private static ByteBuffer part(ByteBuffer image, long at, long bytes) {
        return image.slice((int) at, (int) bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int crc(ByteBuffer bytes, int crcAt) {
        byte[] copy = new byte[bytes.limit()];
        bytes.get(0, copy);
        Arrays.fill(copy, crcAt, crcAt + 4, (byte) 0);
        CRC32C crc = new CRC32C();
        crc.update(copy);
        return (int) crc.getValue();
    }

    @Test
    void theImageHoldsModelAndAdaptersWithChecksums() throws Exception {
        Path file = folder.resolve("image");
        assertEquals(0, run(MODEL, ADAPTERS, file), () -> err.toString(StandardCharsets.UTF_8));
        assertTrue(
                out.toString(StandardCharsets.UTF_8).contains("rs-r16: rank 16 on q_proj, k_proj, v_proj, o_proj"),
                out.toString(StandardCharsets.UTF_8));
        ByteBuffer image = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        assertEquals(PackWriter.MAGIC, image.getInt(0));
        assertEquals(image.limit(), image.getLong(8));
        assertEquals(5, image.getInt(20));
        long textAt = image.getLong(24);
        long textBytes = image.getLong(32);
        assertEquals(crc(part(image, 0, textAt + textBytes), 16), image.getInt(16));
        for (int i = 0; i < 5; i++) {
            ByteBuffer entry = part(image, 40 + 40L * i, 40);
            byte[] name = new byte[(int) entry.getLong(16)];
            image.get((int) (textAt + entry.getLong(8)), name);
            String expected =
                    List.of("llama-gqa", "all-r8", "mlp-r64", "qv-r4", "rs-r16").get(i);
            assertEquals(expected, new String(name, StandardCharsets.UTF_8));
            assertEquals(0, entry.getLong(24) % 8);
            checkManifest(image, part(image, entry.getLong(24), entry.getLong(32)), i == 0 ? 1 : 2);
        }
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(List.of(file), left.toList(), "no partial file is left");
        }
    }

    private static void checkManifest(ByteBuffer image, ByteBuffer manifest, int kind) {
        assertEquals(ManifestWriter.MAGIC, manifest.getInt(0));
        assertEquals(manifest.limit(), manifest.getLong(8));
        assertEquals(crc(manifest, 16), manifest.getInt(16));
        assertEquals(kind, manifest.getInt(20));
        int spans = manifest.getInt(76);
        assertEquals(1, manifest.getInt(72));
        assertEquals(0, manifest.getLong(80), "the file is the image itself: its path is empty");
        assertTrue(spans > 0);
        for (int i = 0; i < spans; i++) {
            ByteBuffer span = part(manifest, manifest.getLong(56) + 56L * i, 56);
            long at = span.getLong(16);
            long bytes = span.getLong(24);
            assertEquals(0, at % 64);
            CRC32C crc = new CRC32C();
            crc.update(part(image, at, bytes));
            assertEquals((int) crc.getValue(), span.getInt(52));
        }
    }

    @Test
    void theDataIsThatOfTheFiles() throws Exception {
        Path file = folder.resolve("image");
        assertEquals(0, run(MODEL, file), () -> err.toString(StandardCharsets.UTF_8));
        ByteBuffer image = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer manifest =
                part(image, part(image, 40, 40).getLong(24), part(image, 40, 40).getLong(32));
        ModelFiles model = ModelFiles.open(MODEL);
        byte[] source = Files.readAllBytes(MODEL.resolve("model.safetensors"));
        for (int i = 0; i < model.spans().size(); i++) {
            TensorSpan span = model.spans().get(i);
            ByteBuffer packed = part(manifest, manifest.getLong(56) + 56L * i, 56);
            byte[] copied = new byte[(int) packed.getLong(24)];
            image.get((int) packed.getLong(16), copied);
            assertArrayEquals(
                    Arrays.copyOfRange(source, (int) span.offset(), (int) (span.offset() + span.bytes())), copied);
        }
    }

    @Test
    void wrongUsageAndWrongFilesHaveTheirOwnExitCodes() throws Exception {
        assertEquals(2, run("one"));
        assertTrue(err.toString(StandardCharsets.UTF_8).startsWith("usage: chorale pack MODEL [ADAPTERS] OUT"));
        assertEquals(1, run(folder, folder.resolve("image")));
        assertTrue(err.toString(StandardCharsets.UTF_8)
                .contains("refused: " + folder.resolve("config.json") + ": cannot be read"));
        assertEquals(1, run(MODEL, folder.resolve("no/such/folder/image")));
        assertFalse(Files.exists(folder.resolve("image")));
    }
}
