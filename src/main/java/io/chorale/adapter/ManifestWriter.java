package io.chorale.adapter;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Writes a manifest as {@code chorale/image_abi.h} lays it out:
 *
 * <pre>
 * header | model spec | inverse frequencies | windows | files | spans | text
 * </pre>
 */
final class ManifestWriter {
    static final int MAGIC = 0x4e4d4843;
    static final int VERSION = 1;
    static final int MODEL = 1;
    static final int ADAPTER = 2;
    static final int HEADER_BYTES = 88;
    static final int SPEC_BYTES = 64;
    static final int FILE_BYTES = 24;
    static final int SPAN_BYTES = 56;
    static final int CRC_AT = 16;

    private static final int ALIGN = 8;

    private ManifestWriter() {}

    static ByteBuffer model(ModelConfig config, boolean tied, List<SpanFile> files, List<TensorSpan> spans) {
        return write(config, tied, files, spans);
    }

    static ByteBuffer adapter(List<SpanFile> files, List<TensorSpan> spans) {
        return write(null, false, files, spans);
    }

    private static ByteBuffer write(
            @Nullable ModelConfig config, boolean tied, List<SpanFile> files, List<TensorSpan> spans) {
        byte[][] paths = files.stream()
                .map(file -> file.path().getBytes(StandardCharsets.UTF_8))
                .toArray(byte[][]::new);
        long textBytes = 0;
        for (byte[] path : paths) {
            textBytes += path.length;
        }
        long spec = HEADER_BYTES;
        long frequencies = spec + (config == null ? 0 : SPEC_BYTES);
        long windows =
                aligned(frequencies + (config == null ? 0 : 4L * config.shape().headDim() / 2));
        long filesAt =
                aligned(windows + (config == null ? 0 : 4L * config.shape().layers()));
        long spansAt = filesAt + (long) FILE_BYTES * files.size();
        long text = spansAt + (long) SPAN_BYTES * spans.size();
        long total = text + textBytes;

        ByteBuffer out = ByteBuffer.allocateDirect(Math.toIntExact(total)).order(ByteOrder.LITTLE_ENDIAN);
        out.putInt(MAGIC).putInt(VERSION).putLong(total).putInt(0).putInt(config == null ? ADAPTER : MODEL);
        out.putLong(config == null ? 0 : spec);
        out.putLong(config == null ? 0 : frequencies);
        out.putLong(config == null ? 0 : windows);
        out.putLong(filesAt).putLong(spansAt).putLong(text);
        out.putInt(files.size()).putInt(spans.size()).putLong(textBytes);
        if (config != null) {
            putSpec(out, config, tied);
            for (float frequency : config.rotary().inverseFrequencies()) {
                out.putFloat(frequency);
            }
            out.position((int) windows);
            for (int window : config.windows()) {
                out.putInt(window);
            }
        }
        out.position((int) filesAt);
        long pathAt = 0;
        for (int i = 0; i < paths.length; i++) {
            out.putLong(pathAt).putLong(paths[i].length).putLong(files.get(i).bytes());
            pathAt += paths[i].length;
        }
        spans.forEach(span -> putSpan(out, span));
        for (byte[] path : paths) {
            out.put(path);
        }
        out.flip();
        out.putInt(CRC_AT, crc(out));
        return out;
    }

    private static void putSpec(ByteBuffer out, ModelConfig config, boolean tied) {
        ModelShape shape = config.shape();
        out.putInt(shape.layers()).putInt(shape.hidden()).putInt(shape.intermediate());
        out.putInt(shape.heads()).putInt(shape.kvHeads()).putInt(shape.headDim());
        out.putInt(shape.vocab()).putInt(shape.contextMax()).putInt(shape.headDim());
        out.putInt(tied ? 1 : 0).putInt(config.qkNorm() ? 1 : 0).putInt(0);
        out.putFloat(config.rmsEps()).putFloat(config.rotary().magnitude());
        out.putFloat((float) (1 / Math.sqrt(shape.headDim()))).putFloat(0);
    }

    private static void putSpan(ByteBuffer out, TensorSpan span) {
        out.putInt(span.role()).putInt(span.layer());
        out.putInt(span.type().wireCode()).putInt(span.file());
        out.putLong(span.offset()).putLong(span.bytes());
        out.putLong(span.rows()).putLong(span.cols());
        out.putFloat(span.scale()).putInt(span.crc());
    }

    private static int crc(ByteBuffer bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes.duplicate());
        return (int) crc.getValue();
    }

    private static long aligned(long offset) {
        return (offset + ALIGN - 1) & -ALIGN;
    }
}
