/** The engine port on JNI: encodes plans, decodes results, loads the native library. The only JavaCPP of the project. */
@NullMarked
package io.chorale.engine.jni;

import org.jspecify.annotations.NullMarked;
