package io.chorale.engine.jni;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.charset.StandardCharsets;

/** Direct little-endian memory, and the calls that answer with text. */
final class NativeBuffers {
    private static final int ERROR_BYTES = 8192;
    private static final int TEXT_BYTES = 1 << 16;

    /** A call that writes text: {@code (out, capacity, bytesOut)}. */
    interface TextCall {
        int write(ByteBuffer out, long capacity, LongBuffer bytesOut);
    }

    private NativeBuffers() {}

    /** Zeroed, its address a multiple of what the ABI asks for. */
    static ByteBuffer allocate(int bytes) {
        return ByteBuffer.allocateDirect(bytes + StepLayout.SECTION_ALIGN)
                .alignedSlice(StepLayout.SECTION_ALIGN)
                .order(ByteOrder.LITTLE_ENDIAN);
    }

    static LongBuffer oneLong() {
        return allocate(Long.BYTES).asLongBuffer();
    }

    static ByteBuffer of(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        return allocate(utf8.length).put(utf8).flip();
    }

    static String text(TextCall call) {
        ByteBuffer out = allocate(TEXT_BYTES);
        LongBuffer bytes = oneLong();
        if (call.write(out, TEXT_BYTES, bytes) != ChoraleNative.OK) {
            throw new IllegalStateException("the engine library does not describe itself: " + lastError());
        }
        return utf8(out, bytes.get(0));
    }

    /** What the last failed call of this thread left. */
    static String lastError() {
        ByteBuffer out = allocate(ERROR_BYTES);
        long bytes = ChoraleNative.ch_last_error(out, ERROR_BYTES);
        return utf8(out, Math.min(bytes, ERROR_BYTES));
    }

    private static String utf8(ByteBuffer buffer, long bytes) {
        byte[] text = new byte[(int) bytes];
        buffer.get(0, text);
        return new String(text, StandardCharsets.UTF_8);
    }
}
