package io.chorale.engine.jni;

import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * The C ABI of {@code chorale/engine_c.h}, one method a function: byte buffers and longs only, so that no peer class
 * exists and nothing is allocated in a call.
 */
@Platform(include = "chorale/engine_c.h", link = "chorale", library = "jnichorale")
final class ChoraleNative {
    private ChoraleNative() {}

    @NoException
    static native int ch_abi_version();
}
