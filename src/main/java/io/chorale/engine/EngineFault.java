package io.chorale.engine;

/** A failure of the engine. The three kinds differ in what to do about them. */
public final class EngineFault extends RuntimeException {
    /** What kind of failure. */
    public enum Kind {
        /** What was handed over is wrong; nothing changed. */
        REJECTED_INPUT,
        /** Memory or another bound is used up; nothing changed. */
        OUT_OF_RESOURCE,
        /** The engine is gone; every later call fails too. */
        DEAD
    }

    private final Kind kind;

    public EngineFault(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    public Kind kind() {
        return kind;
    }
}
