package io.chorale.adapter;

/**
 * Where one tensor with a known part in the model lies, as {@code SpanEntry} of {@code chorale/image_abi.h} has it.
 *
 * @param role one of the constants here, plus a {@link Target}'s code from {@link #WEIGHT} on
 * @param layer {@link #NO_LAYER} outside the layers
 * @param file index into the manifest's files, or {@link #NO_FILE}
 * @param offset from the start of that file; the seed of what has none
 * @param rows 1 for vectors
 * @param scale of LoRA's B; 1 for everything else
 * @param crc CRC-32C of its bytes; 0: not recorded
 */
record TensorSpan(
        int role,
        int layer,
        ElementType type,
        int file,
        long offset,
        long bytes,
        long rows,
        long cols,
        float scale,
        int crc) {
    static final int NO_LAYER = -1;

    /** The tensor is stored nowhere: the engine makes it of random numbers. */
    static final int NO_FILE = -1;

    static final int EMBED = 0;
    static final int HEAD = 1;
    static final int FINAL_NORM = 2;
    static final int ATTN_NORM = 3;
    static final int MLP_NORM = 4;
    static final int Q_NORM = 5;
    static final int K_NORM = 6;
    static final int WEIGHT = 16;
    static final int BIAS = 32;
    static final int LORA_A = 48;
    static final int LORA_B = 64;
    static final int MAGNITUDE = 80;
    static final int HEAD_A = 96;
    static final int HEAD_B = 97;
    static final int EMBED_A = 98;
    static final int EMBED_B = 99;

    /** A tensor that nobody has stored. */
    static TensorSpan ofNoise(int role, int layer, ElementType type, long rows, long cols, float scale, long seed) {
        return new TensorSpan(role, layer, type, NO_FILE, seed, rows * cols * type.bytes, rows, cols, scale, 0);
    }

    boolean isMagnitude() {
        return role >= MAGNITUDE && role < HEAD_A;
    }

    /** What it changes, for an adapter's tensor: the same for the A, the B and the magnitudes of one module. */
    int place() {
        int module = role < LORA_A
                ? HEAD
                : role >= HEAD_A ? HEAD_A + (role - HEAD_A) / 2 : (role - LORA_A) % (LORA_B - LORA_A);
        return (layer + 1) * (EMBED_B + 1) + module;
    }

    /** The same tensor at another place, with a checksum: in a packed image. */
    TensorSpan movedTo(long newOffset, int newCrc) {
        return new TensorSpan(role, layer, type, 0, newOffset, bytes, rows, cols, scale, newCrc);
    }
}
