package io.chorale.engine.jni;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;

/**
 * One reused buffer of sections: a header, a table of (offset, count), then the sections' data. Arrays are copied in bulk;
 * nothing is allocated unless a step is larger than all before it.
 */
final class SectionBuffer {
    private static final int BYTES_FIRST = 1 << 16;

    private final int headerBytes;
    private final int sections;
    private ByteBuffer bytes;
    private IntBuffer ints;
    private LongBuffer longs;
    private FloatBuffer floats;
    private int end;

    SectionBuffer(int headerBytes, int sections) {
        this.headerBytes = headerBytes;
        this.sections = sections;
        bytes = NativeBuffers.allocate(BYTES_FIRST);
        ints = bytes.asIntBuffer();
        longs = bytes.asLongBuffer();
        floats = bytes.asFloatBuffer();
    }

    /** From position 0; valid until the next section is put. */
    ByteBuffer bytes() {
        return bytes;
    }

    /** Bytes in use. */
    int size() {
        return end;
    }

    /** Forgets all sections. */
    void clear() {
        end = align(headerBytes + sections * StepLayout.SECTION_ENTRY_BYTES);
        for (int section = 0; section < sections; section++) {
            setEntry(section, 0, 0);
        }
    }

    void put(int section, int[] values, int count) {
        int at = open(section, count, Integer.BYTES);
        ints.put(at / Integer.BYTES, values, 0, count);
    }

    void put(int section, long[] values, int count) {
        int at = open(section, count, Long.BYTES);
        longs.put(at / Long.BYTES, values, 0, count);
    }

    void put(int section, float[] values, int count) {
        int at = open(section, count, Float.BYTES);
        floats.put(at / Float.BYTES, values, 0, count);
    }

    /** Makes room for a section that the caller fills; returns where it begins. */
    int open(int section, int count, int elementBytes) {
        if (count == 0) {
            return 0;
        }
        int at = end;
        int next = align(Math.addExact(at, Math.multiplyExact(count, elementBytes)));
        if (next > bytes.capacity()) {
            grow(next);
        }
        end = next;
        setEntry(section, at, count);
        return at;
    }

    private void setEntry(int section, long offset, long count) {
        int entry = headerBytes + section * StepLayout.SECTION_ENTRY_BYTES;
        bytes.putLong(entry, offset);
        bytes.putLong(entry + Long.BYTES, count);
    }

    private void grow(int least) {
        ByteBuffer larger = NativeBuffers.allocate(Math.max(least, Math.multiplyExact(bytes.capacity(), 2)));
        larger.put(0, bytes, 0, bytes.capacity());
        bytes = larger;
        ints = bytes.asIntBuffer();
        longs = bytes.asLongBuffer();
        floats = bytes.asFloatBuffer();
    }

    private static int align(int offset) {
        return (offset + StepLayout.SECTION_ALIGN - 1) & -StepLayout.SECTION_ALIGN;
    }
}
