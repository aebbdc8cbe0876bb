package io.chorale.adapter;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import java.util.zip.CRC32C;

/**
 * Writes a model and adapters as one flat file that C++ tools read without a JSON parser, as {@code chorale/image_abi.h}
 * lays it out:
 *
 * <pre>
 * header | entries | text (names) | manifests | data, each tensor aligned to 64 bytes
 * </pre>
 *
 * Everything is covered by CRC-32C: header, entries and text by the header's, manifests by their own, data by each span's.
 */
final class PackWriter {
    static final int MAGIC = 0x4b504843;

    private static final int HEADER_BYTES = 40;
    private static final int ENTRY_BYTES = 40;
    private static final int CRC_AT = 16;
    private static final int DATA_ALIGN = 64;
    private static final int MANIFEST_ALIGN = 8;
    private static final int COPY_BYTES = 1 << 20;

    /** A model or adapter to be packed: its tensors where they lie now, and how to write its manifest. */
    private record Item(
            String name,
            int kind,
            List<SpanFile> files,
            List<TensorSpan> spans,
            BiFunction<List<SpanFile>, List<TensorSpan>, ByteBuffer> manifest) {}

    private final List<Item> items = new ArrayList<>();
    private final ByteBuffer copyBuffer = ByteBuffer.allocateDirect(COPY_BYTES);

    PackWriter(String modelName, ModelFiles model) {
        items.add(new Item(modelName, ManifestWriter.MODEL, model.files(), model.spans(), model::manifest));
    }

    void add(String name, PeftAdapter adapter) {
        items.add(new Item(name, ManifestWriter.ADAPTER, adapter.files(), adapter.spans(), ManifestWriter::adapter));
    }

    /** Writes the image; {@code out} is replaced only when it is complete. Returns its size. */
    long write(Path out) throws IOException {
        Path partial = out.resolveSibling(out.getFileName() + ".partial");
        try {
            long bytes;
            try (FileChannel channel = FileChannel.open(
                    partial,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING,
                    StandardOpenOption.WRITE)) {
                bytes = write(channel);
            }
            Files.move(partial, out, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
            return bytes;
        } finally {
            Files.deleteIfExists(partial);
        }
    }

    private long write(FileChannel out) throws IOException {
        byte[] text = text();
        long textAt = HEADER_BYTES + (long) ENTRY_BYTES * items.size();
        // A manifest's size does not depend on the offsets in it: a draft tells where everything will lie.
        long[] manifestAt = new long[items.size()];
        long at = textAt + text.length;
        for (int i = 0; i < manifestAt.length; i++) {
            manifestAt[i] = aligned(at, MANIFEST_ALIGN);
            at = manifestAt[i] + manifest(items.get(i), 0, items.get(i).spans()).limit();
        }
        List<List<TensorSpan>> placed = new ArrayList<>();
        for (Item item : items) {
            List<TensorSpan> spans = new ArrayList<>();
            for (TensorSpan span : item.spans()) {
                at = aligned(at, DATA_ALIGN);
                spans.add(span.movedTo(at, copy(item, span, out, at)));
                at += span.bytes();
            }
            placed.add(spans);
        }
        long total = at;
        ByteBuffer entries = ByteBuffer.allocate((int) textAt + text.length).order(ByteOrder.LITTLE_ENDIAN);
        entries.putInt(MAGIC)
                .putInt(ManifestWriter.VERSION)
                .putLong(total)
                .putInt(0)
                .putInt(items.size());
        entries.putLong(textAt).putLong(text.length);
        long nameAt = 0;
        for (int i = 0; i < manifestAt.length; i++) {
            Item item = items.get(i);
            ByteBuffer manifest = manifest(item, total, placed.get(i));
            int nameBytes = item.name().getBytes(StandardCharsets.UTF_8).length;
            entries.putInt(item.kind()).putInt(0).putLong(nameAt).putLong(nameBytes);
            entries.putLong(manifestAt[i]).putLong(manifest.limit());
            nameAt += nameBytes;
            writeFully(out, manifest, manifestAt[i]);
        }
        entries.put(text).flip();
        CRC32C crc = new CRC32C();
        crc.update(entries.duplicate());
        entries.putInt(CRC_AT, (int) crc.getValue());
        writeFully(out, entries, 0);
        return total;
    }

    private static ByteBuffer manifest(Item item, long imageBytes, List<TensorSpan> spans) {
        return item.manifest().apply(List.of(new SpanFile("", imageBytes)), spans);
    }

    private byte[] text() {
        StringBuilder names = new StringBuilder();
        items.forEach(item -> names.append(item.name()));
        return names.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** Copies a tensor's bytes and returns their CRC-32C. */
    private int copy(Item item, TensorSpan span, FileChannel out, long to) throws IOException {
        CRC32C crc = new CRC32C();
        Path source = Path.of(item.files().get(span.file()).path());
        try (FileChannel in = FileChannel.open(source, StandardOpenOption.READ)) {
            for (long done = 0; done < span.bytes(); ) {
                copyBuffer.clear().limit((int) Math.min(COPY_BYTES, span.bytes() - done));
                if (in.read(copyBuffer, span.offset() + done) < 0) {
                    throw new IOException(source + " became shorter while it was packed");
                }
                copyBuffer.flip();
                crc.update(copyBuffer.duplicate());
                int count = copyBuffer.remaining();
                writeFully(out, copyBuffer, to + done);
                done += count;
            }
        }
        return (int) crc.getValue();
    }

    private static void writeFully(FileChannel out, ByteBuffer bytes, long at) throws IOException {
        long to = at;
        while (bytes.hasRemaining()) {
            to += out.write(bytes, to);
        }
    }

    private static long aligned(long offset, int align) {
        return (offset + align - 1) & -align;
    }
}
