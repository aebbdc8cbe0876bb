package io.chorale.engine.jni;

import java.nio.ByteBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * The C ABI of {@code chorale/engine_c.h}, one method a function: direct buffers from position 0, and longs, so that no
 * peer class exists and nothing is allocated in a call. Loaded by {@link NativeLibraries#load}.
 */
@Platform(include = "chorale/engine_c.h", link = "chorale", library = "jnichorale")
final class ChoraleNative {
    static final int OK = 0;
    static final int INVALID_ARGUMENT = 1;
    static final int RESOURCE_EXHAUSTED = 2;
    static final int DEAD = 3;

    private ChoraleNative() {}

    @NoException
    static native int ch_abi_version();

    @NoException
    static native int ch_abi_describe(
            @Cast("uint8_t*") ByteBuffer out, long capacity, @Cast("int64_t*") LongBuffer bytesOut);

    @NoException
    static native long ch_last_error(@Cast("uint8_t*") ByteBuffer out, long capacity);

    @NoException
    static native int ch_engine_create(
            @Cast("const uint8_t*") ByteBuffer config,
            long configBytes,
            @Cast("const uint8_t*") ByteBuffer manifest,
            long manifestBytes,
            @Cast("int64_t*") LongBuffer engineOut);

    @NoException
    static native int ch_engine_spec(
            long engine, @Cast("uint8_t*") ByteBuffer out, long capacity, @Cast("int64_t*") LongBuffer bytesOut);

    @NoException
    static native int ch_engine_begin(long engine, @Cast("const uint8_t*") ByteBuffer step, long bytes);

    @NoException
    static native int ch_engine_late(long engine, @Cast("const uint8_t*") ByteBuffer late, long bytes);

    @NoException
    static native int ch_engine_await(
            long engine, @Cast("uint8_t*") ByteBuffer result, long capacity, @Cast("int64_t*") LongBuffer bytesOut);

    @NoException
    static native int ch_adapter_stage(
            long engine,
            @Cast("const uint8_t*") ByteBuffer manifest,
            long manifestBytes,
            @Cast("int64_t*") LongBuffer stagedOut,
            @Cast("int64_t*") LongBuffer pagesOut,
            @Cast("int64_t*") LongBuffer bytesOut);

    @NoException
    static native int ch_adapter_release(long engine, long staged);

    @NoException
    static native int ch_adapter_bytes(long engine, @Cast("int64_t*") LongBuffer bytesOut);

    @NoException
    static native int ch_adapter_poison(long engine, long staged);

    @NoException
    static native int ch_pool_poison(long engine, @Cast("const int32_t*") IntBuffer pages, long count);

    @NoException
    static native int ch_weights_digest(long engine, @Cast("int64_t*") LongBuffer digestOut);

    @NoException
    static native int ch_devices_describe(
            @Cast("uint8_t*") ByteBuffer out, long capacity, @Cast("int64_t*") LongBuffer bytesOut);

    @NoException
    static native int ch_engine_destroy(long engine);
}
