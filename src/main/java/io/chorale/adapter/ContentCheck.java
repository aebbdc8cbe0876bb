package io.chorale.adapter;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Reads all of an adapter's tensors once, from front to back: the digest of its content, numbers that no training leaves
 * behind, and whether it changes anything. PEFT begins with B all zero: an adapter saved before it was trained loads
 * everywhere and answers as the base model does. A run that diverged ends in numbers that are not finite or soon would not
 * be: such an adapter would have no answer to any prompt.
 */
final class ContentCheck {
    private static final int CHUNK_BYTES = 1 << 20;
    private static final int PROBLEMS_MAX = 100;
    private static final float LARGEST = 65_504;

    /**
     * Of one dtype: the bits of a number's magnitude, those of the largest that is taken, and those from which on it is not
     * finite. Magnitudes are in the order of their bits. The largest is float16's in every dtype: an adapter is not worse
     * for having been saved in a narrower one.
     */
    private record Bits(int magnitude, int largest, int infinity) {
        static Bits of(ElementType type) {
            return switch (type) {
                case F32 -> new Bits(0x7fffffff, Float.floatToIntBits(LARGEST), 0x7f800000);
                case F16 -> new Bits(0x7fff, 0x7bff, 0x7c00);
                case BF16 -> new Bits(0x7fff, Float.floatToIntBits(LARGEST) >>> 16, 0x7f80);
                default -> throw new IllegalArgumentException(type + " was refused before");
            };
        }
    }

    private final SafetensorsFile file;
    private final MessageDigest digest = sha256();
    private final ByteBuffer chunk = ByteBuffer.allocate(CHUNK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    private final List<String> problems = new ArrayList<>();

    private ContentCheck(SafetensorsFile file) {
        this.file = file;
    }

    /** @param spans of all tensors of the file */
    static String digest(Path config, SafetensorsFile file, List<TensorSpan> spans) throws FileRejectedException {
        try (FileChannel channel = FileChannel.open(file.path(), StandardOpenOption.READ)) {
            return new ContentCheck(file).read(Files.readAllBytes(config), channel, spans);
        } catch (IOException unreadable) {
            throw new FileRejectedException(file.path() + ": cannot be read: " + JsonText.reason(unreadable));
        }
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
    }

    private String read(byte[] config, FileChannel channel, List<TensorSpan> spans)
            throws IOException, FileRejectedException {
        // The length goes first, or two pairs of files could be cut differently and be one text.
        digest.update(ByteBuffer.allocate(Long.BYTES).putLong(0, config.length));
        digest.update(config);
        digest.update(file.header());
        List<TensorSpan> byOffset = new ArrayList<>(spans);
        byOffset.sort(Comparator.comparingLong(TensorSpan::offset));
        Map<Long, String> names = new TreeMap<>();
        file.tensors().values().forEach(tensor -> names.put(tensor.offset(), tensor.name()));
        Set<Integer> places = new HashSet<>();
        Set<Integer> zeroPlaces = new HashSet<>();
        for (TensorSpan span : byOffset) {
            places.add(span.place());
            boolean anything = scan(channel, span, names.getOrDefault(span.offset(), "")) && span.scale() != 0;
            if (!anything && !span.isMagnitude()) {
                zeroPlaces.add(span.place());
            }
        }
        if (zeroPlaces.size() == places.size()) {
            problems.add(file.path() + ": the adapter changes nothing: A, B or the scale of each of its "
                    + places.size() + " linears is zero, as before training");
        }
        if (!problems.isEmpty()) {
            throw new FileRejectedException(problems);
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Digests one tensor; returns whether it holds anything but zeros. */
    private boolean scan(FileChannel channel, TensorSpan span, String name) throws IOException {
        Bits bits = Bits.of(span.type());
        boolean anything = false;
        long firstBad = -1;
        int bad = 0;
        for (long done = 0; done < span.bytes(); done += chunk.limit()) {
            chunk.clear().limit((int) Math.min(CHUNK_BYTES, span.bytes() - done));
            while (chunk.hasRemaining()) {
                if (channel.read(chunk, span.offset() + done + chunk.position()) < 0) {
                    throw new EOFException("it became shorter while it was read");
                }
            }
            chunk.flip();
            digest.update(chunk.duplicate());
            for (int at = 0; at < chunk.limit(); at += span.type().bytes) {
                int number = span.type().bytes == Integer.BYTES ? chunk.getInt(at) : chunk.getShort(at);
                int magnitude = number & bits.magnitude;
                anything |= magnitude != 0;
                if (magnitude > bits.largest && firstBad < 0) {
                    firstBad = (done + at) / span.type().bytes;
                    bad = magnitude;
                }
            }
        }
        if (firstBad >= 0 && problems.size() < PROBLEMS_MAX) {
            String what = bad >= bits.infinity ? "that is not finite" : "of a size above " + (int) LARGEST;
            problems.add(file.path() + ": tensor '" + name + "' holds a number " + what + ", at element " + firstBad);
        }
        return anything;
    }
}
