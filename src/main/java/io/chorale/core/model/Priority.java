package io.chorale.core.model;

/** Who goes before whom whatever they have been served; nobody waits for ever for that. */
public enum Priority {
    HIGH(0),
    NORMAL(1),
    LOW(2);

    private final int level;

    Priority(int level) {
        this.level = level;
    }

    /** 0 is the first. */
    public int level() {
        return level;
    }
}
