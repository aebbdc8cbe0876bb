package io.chorale.api;

import io.vertx.core.buffer.Buffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/**
 * Writes JSON and frames as UTF-8 bytes into one growing buffer. A chunk of an answer is a cached head, an escaped piece
 * of text and a cached tail: no tree, no intermediate strings.
 */
final class JsonBytes {
    /** What stands for a log-probability of minus infinity, which JSON cannot write; OpenAI's choice. */
    private static final float LOG_PROB_MIN = -9999;

    private static final byte[] HEX = ascii("0123456789abcdef");

    private byte[] bytes = new byte[512];
    private int length;

    static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    boolean isEmpty() {
        return length == 0;
    }

    /** What was written since the last call. */
    byte[] take() {
        byte[] taken = Arrays.copyOf(bytes, length);
        length = 0;
        return taken;
    }

    /** The same, as Vert.x takes it. */
    Buffer takeBuffer() {
        Buffer taken = Buffer.buffer(length).appendBytes(bytes, 0, length);
        length = 0;
        return taken;
    }

    JsonBytes raw(byte[] more) {
        return raw(more, 0, more.length);
    }

    JsonBytes raw(byte[] more, int from, int count) {
        room(count);
        System.arraycopy(more, from, bytes, length, count);
        length += count;
        return this;
    }

    /** ASCII, not escaped. */
    JsonBytes raw(String ascii) {
        int count = ascii.length();
        room(count);
        for (int i = 0; i < count; i++) {
            bytes[length++] = (byte) ascii.charAt(i);
        }
        return this;
    }

    JsonBytes number(long value) {
        return raw(Long.toString(value));
    }

    /** A log-probability: NaN is null, and what is too small for JSON is {@value #LOG_PROB_MIN}. */
    JsonBytes logProb(float value) {
        return Float.isNaN(value) ? raw("null") : raw(Float.toString(Math.max(value, LOG_PROB_MIN)));
    }

    /** A quoted string. */
    JsonBytes string(CharSequence text) {
        room(1);
        bytes[length++] = '"';
        escaped(text);
        room(1);
        bytes[length++] = '"';
        return this;
    }

    /** A list of quoted strings. */
    JsonBytes strings(List<String> texts) {
        raw("[");
        for (int i = 0; i < texts.size(); i++) {
            raw(i == 0 ? "" : ",").string(texts.get(i));
        }
        return raw("]");
    }

    JsonBytes flag(boolean value) {
        return raw(value ? "true" : "false");
    }

    /** The inside of a string. A surrogate without its partner is written as an escape, so that the bytes stay UTF-8. */
    JsonBytes escaped(CharSequence text) {
        for (int i = 0; i < text.length(); i++) {
            room(6);
            char c = text.charAt(i);
            if (c < 0x80) {
                ascii(c);
            } else if (c < 0x800) {
                bytes[length++] = (byte) (0xC0 | (c >> 6));
                bytes[length++] = (byte) (0x80 | (c & 0x3F));
            } else if (!Character.isSurrogate(c)) {
                bytes[length++] = (byte) (0xE0 | (c >> 12));
                bytes[length++] = (byte) (0x80 | ((c >> 6) & 0x3F));
                bytes[length++] = (byte) (0x80 | (c & 0x3F));
            } else if (Character.isHighSurrogate(c)
                    && i + 1 < text.length()
                    && Character.isLowSurrogate(text.charAt(i + 1))) {
                int point = Character.toCodePoint(c, text.charAt(++i));
                bytes[length++] = (byte) (0xF0 | (point >> 18));
                bytes[length++] = (byte) (0x80 | ((point >> 12) & 0x3F));
                bytes[length++] = (byte) (0x80 | ((point >> 6) & 0x3F));
                bytes[length++] = (byte) (0x80 | (point & 0x3F));
            } else {
                unicode(c);
            }
        }
        return this;
    }

    private void ascii(char c) {
        switch (c) {
            case '"', '\\' -> escape((byte) c);
            case '\n' -> escape((byte) 'n');
            case '\r' -> escape((byte) 'r');
            case '\t' -> escape((byte) 't');
            default -> {
                if (c < 0x20) {
                    unicode(c);
                } else {
                    bytes[length++] = (byte) c;
                }
            }
        }
    }

    private void escape(byte c) {
        bytes[length++] = '\\';
        bytes[length++] = c;
    }

    private void unicode(char c) {
        escape((byte) 'u');
        for (int shift = 12; shift >= 0; shift -= 4) {
            bytes[length++] = HEX[c >> shift & 0xF];
        }
    }

    private void room(int more) {
        if (length + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(length + more, bytes.length * 2));
        }
    }
}
