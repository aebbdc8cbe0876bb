package io.chorale.adapter;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.io.JsonEOFException;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The verified header of one safetensors file: eight bytes of header length, a JSON object of tensors, then their data.
 * Every claim of the header is checked against the file's size and against the other claims, so that a span handed to the
 * engine lies in the file and is nobody else's. Tensor data is never read.
 *
 * @param fileBytes size of the file when it was verified
 * @param header the eight bytes and the JSON text, for digests
 * @param tensors in the order of the header
 */
record SafetensorsFile(Path path, long fileBytes, byte[] header, Map<String, Tensor> tensors) {
    /** What the format allows a header to be. */
    static final int HEADER_BYTES_MAX = 100_000_000;

    private static final int LENGTH_BYTES = 8;
    private static final int DIMENSIONS_MAX = 16;

    /**
     * One tensor.
     *
     * @param offset of its first byte from the start of the file
     */
    record Tensor(String name, ElementType type, List<Long> shape, long offset, long bytes) {
        long end() {
            return offset + bytes;
        }
    }

    static SafetensorsFile open(Path path) throws FileRejectedException {
        return open(path, HEADER_BYTES_MAX);
    }

    static SafetensorsFile open(Path path, int headerBytesMax) throws FileRejectedException {
        try {
            JsonText.expectRegular(path);
            return read(path, headerBytesMax);
        } catch (IOException unreadable) {
            throw new FileRejectedException(path + ": cannot be read: " + JsonText.reason(unreadable));
        }
    }

    private static SafetensorsFile read(Path path, int headerBytesMax) throws IOException, FileRejectedException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long fileBytes = channel.size();
            ByteBuffer length = ByteBuffer.allocate(LENGTH_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            readFully(channel, length, 0, Math.min(fileBytes, LENGTH_BYTES));
            byte[] head = new byte[LENGTH_BYTES + headerBytes(path, length.array(), fileBytes, headerBytesMax)];
            readFully(channel, ByteBuffer.wrap(head), 0, head.length);
            return parse(path, fileBytes, head);
        }
    }

    /**
     * Verifies a header.
     *
     * @param head at least the first eight bytes and as many more as they say
     */
    static SafetensorsFile parse(Path path, long fileBytes, byte[] head) throws FileRejectedException {
        int jsonBytes = headerBytes(path, head, fileBytes, HEADER_BYTES_MAX);
        if (head[LENGTH_BYTES] != '{') {
            throw rejected(path, "its header does not begin with '{'");
        }
        try (JsonParser parser = JsonText.parser(head, LENGTH_BYTES, jsonBytes)) {
            Map<String, Tensor> tensors = new HeaderReader(path, parser, LENGTH_BYTES + jsonBytes, fileBytes).read();
            checkCover(path, tensors, LENGTH_BYTES + jsonBytes, fileBytes);
            byte[] header = Arrays.copyOf(head, LENGTH_BYTES + jsonBytes);
            return new SafetensorsFile(path, fileBytes, header, Collections.unmodifiableMap(tensors));
        } catch (JsonEOFException cut) {
            throw rejected(path, "its header ends in the middle of the JSON text");
        } catch (IOException malformed) {
            throw rejected(path, "its header is not valid JSON: " + JsonText.reason(malformed));
        }
    }

    private static int headerBytes(Path path, byte[] head, long fileBytes, int bytesMax) throws FileRejectedException {
        if (fileBytes < LENGTH_BYTES + 2) {
            throw rejected(path, "has " + fileBytes + " bytes, too few for a safetensors file");
        }
        long jsonBytes = ByteBuffer.wrap(head).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        if (jsonBytes < 2 || jsonBytes > bytesMax) {
            throw rejected(
                    path,
                    "says that its header has " + Long.toUnsignedString(jsonBytes) + " bytes; 2 to " + bytesMax
                            + " are possible");
        }
        if (jsonBytes > fileBytes - LENGTH_BYTES) {
            throw rejected(
                    path,
                    "says that its header has " + jsonBytes + " bytes, but the file ends after "
                            + (fileBytes - LENGTH_BYTES) + " of them");
        }
        return (int) jsonBytes;
    }

    /** The tensors must cover the data exactly: no byte twice, none without an owner. */
    private static void checkCover(Path path, Map<String, Tensor> tensors, long dataStart, long fileBytes)
            throws FileRejectedException {
        List<Tensor> byOffset = new ArrayList<>(tensors.values());
        byOffset.sort(Comparator.comparingLong(Tensor::offset).thenComparingLong(Tensor::end));
        long end = dataStart;
        String before = "the header";
        for (Tensor tensor : byOffset) {
            if (tensor.offset() < end) {
                throw rejected(path, "tensor '" + tensor.name() + "' overlaps " + before);
            }
            if (tensor.offset() > end) {
                throw rejected(
                        path,
                        (tensor.offset() - end) + " bytes between " + before + " and tensor '" + tensor.name()
                                + "' belong to no tensor");
            }
            end = tensor.end();
            before = "tensor '" + tensor.name() + "'";
        }
        if (end != fileBytes) {
            throw rejected(path, (fileBytes - end) + " bytes after " + before + " belong to no tensor");
        }
    }

    private static void readFully(FileChannel channel, ByteBuffer into, long at, long count) throws IOException {
        into.limit((int) count);
        while (into.hasRemaining()) {
            if (channel.read(into, at + into.position()) < 0) {
                throw new EOFException("it became shorter while it was read");
            }
        }
    }

    private static FileRejectedException rejected(Path path, String sentence) {
        return new FileRejectedException(path + ": " + sentence);
    }

    /** Reads the JSON object of tensors, one tensor at a time. */
    private record HeaderReader(Path path, JsonParser parser, long dataStart, long fileBytes) {

        Map<String, Tensor> read() throws IOException, FileRejectedException {
            expect(parser.nextToken(), JsonToken.START_OBJECT, "the header");
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("__metadata__")) {
                    skipMetadata();
                } else {
                    tensors.put(name, tensor(name));
                }
            }
            if (parser.nextToken() != null) {
                throw rejected(path, "something follows the JSON object in its header");
            }
            return tensors;
        }

        private void skipMetadata() throws IOException, FileRejectedException {
            expect(parser.currentToken(), JsonToken.START_OBJECT, "__metadata__");
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                expect(parser.nextToken(), JsonToken.VALUE_STRING, "__metadata__ '" + name + "'");
            }
        }

        private Tensor tensor(String name) throws IOException, FileRejectedException {
            String what = "tensor '" + name + "'";
            expect(parser.currentToken(), JsonToken.START_OBJECT, what);
            ElementType type = null;
            List<Long> shape = null;
            List<Long> offsets = null;
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                parser.nextToken();
                switch (field) {
                    case "dtype" -> type = type(what);
                    case "shape" -> shape = integers(what + ": shape", DIMENSIONS_MAX);
                    case "data_offsets" -> offsets = integers(what + ": data_offsets", 2);
                    default -> throw rejected(path, what + " has an unknown field '" + field + "'");
                }
            }
            if (type == null || shape == null || offsets == null) {
                String missing = type == null ? "dtype" : shape == null ? "shape" : "data_offsets";
                throw rejected(path, what + " has no " + missing);
            }
            return verified(what, name, type, shape, offsets);
        }

        private Tensor verified(String what, String name, ElementType type, List<Long> shape, List<Long> offsets)
                throws FileRejectedException {
            if (offsets.size() != 2 || offsets.get(0) > offsets.get(1)) {
                throw rejected(path, what + " has data_offsets " + offsets + ", which are not [begin, end]");
            }
            long dataBytes = fileBytes - dataStart;
            if (offsets.get(1) > dataBytes) {
                throw rejected(
                        path,
                        what + " ends at byte " + offsets.get(1) + " of the data, but the file holds only " + dataBytes
                                + ": it is cut short or its header lies");
            }
            long bytes = type.bytes;
            try {
                for (long size : shape) {
                    bytes = Math.multiplyExact(bytes, size);
                }
            } catch (ArithmeticException overflow) {
                throw rejected(path, what + " of shape " + shape + " would have more bytes than can be counted");
            }
            long spanBytes = offsets.get(1) - offsets.get(0);
            if (bytes != spanBytes) {
                throw rejected(
                        path,
                        what + " of shape " + shape + " and dtype " + type + " takes " + bytes
                                + " bytes, but its data_offsets span " + spanBytes);
            }
            return new Tensor(name, type, shape, dataStart + offsets.get(0), bytes);
        }

        private ElementType type(String what) throws IOException, FileRejectedException {
            expect(parser.currentToken(), JsonToken.VALUE_STRING, what + ": dtype");
            String name = parser.getText();
            return ElementType.of(name)
                    .orElseThrow(() -> rejected(path, what + " has the unknown dtype " + JsonObject.shown(name)));
        }

        private List<Long> integers(String what, int countMax) throws IOException, FileRejectedException {
            expect(parser.currentToken(), JsonToken.START_ARRAY, what);
            List<Long> integers = new ArrayList<>(2);
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                expect(parser.currentToken(), JsonToken.VALUE_NUMBER_INT, what);
                if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER || parser.getLongValue() < 0) {
                    throw rejected(path, what + " holds " + parser.getText() + ", which is out of range");
                }
                if (integers.size() == countMax) {
                    throw rejected(path, what + " has more than " + countMax + " entries");
                }
                integers.add(parser.getLongValue());
            }
            return List.copyOf(integers);
        }

        private void expect(@Nullable JsonToken found, JsonToken expected, String what) throws FileRejectedException {
            if (found != expected) {
                throw rejected(path, what + " is not " + described(expected));
            }
        }

        private static String described(JsonToken token) {
            return switch (token) {
                case START_OBJECT -> "a JSON object";
                case START_ARRAY -> "a list of integers";
                case VALUE_STRING -> "a string";
                default -> "an integer";
            };
        }
    }
}
