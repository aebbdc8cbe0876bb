package io.chorale.platform;

/** Whether this program is the native executable rather than a JVM's. */
public final class NativeExecutable {
    private static final String IMAGE = "org.graalvm.nativeimage.imagecode";

    private NativeExecutable() {}

    public static boolean isThis() {
        return System.getProperty(IMAGE) != null;
    }
}
