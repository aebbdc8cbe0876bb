package io.chorale.core.policy;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.Residents;

/** Which idle resident adapter leaves the device when its room is needed. */
public interface EvictionPolicy {
    /** The lowest leaves first, ties by lower slot. */
    double keepScore(DeviceAdapter idle, Residents all);

    /** Whether an adapter that no running sequence uses leaves at once, wanted room or not. */
    default boolean keepsNothing() {
        return false;
    }

    /** The one whose last step is longest ago. */
    record LeastRecentlyUsed() implements EvictionPolicy {
        @Override
        public double keepScore(DeviceAdapter idle, Residents all) {
            return idle.usedNanos();
        }
    }

    /**
     * By how often it was used, how lately and how large it is, with Chameleon's weights (arXiv 2411.17741): what comes
     * back soon and costs most to bring back stays. What somebody waits for comes back for certain, and goes last: among it is
     * what was uploaded ahead of need and has not been used at all.
     */
    record Score() implements EvictionPolicy {
        private static final double WAITED_FOR = 1;
        private static final double FREQUENCY = 0.45;
        private static final double RECENCY = 0.10;
        private static final double SIZE = 0.45;
        private static final double RECENT_NANOS = 1e9;

        @Override
        public double keepScore(DeviceAdapter idle, Residents all) {
            double age = Math.max(0, all.nowNanos() - idle.usedNanos());
            return (idle.wanted() > 0 ? WAITED_FOR : 0)
                    + FREQUENCY * idle.uses(all.nowNanos()) / Math.max(all.usesMax(), Double.MIN_NORMAL)
                    + RECENCY * (RECENT_NANOS / (RECENT_NANOS + age))
                    + SIZE * idle.pagesNeeded() / Math.max(1, all.pagesMax());
        }
    }

    /** The one that fewest requests want (dLoRA). */
    record FewestWanted() implements EvictionPolicy {
        @Override
        public double keepScore(DeviceAdapter idle, Residents all) {
            return idle.wanted();
        }
    }

    /** No cache: an adapter leaves when the last running sequence with it has ended. */
    record AtOnce() implements EvictionPolicy {
        @Override
        public double keepScore(DeviceAdapter idle, Residents all) {
            return idle.usedNanos();
        }

        @Override
        public boolean keepsNothing() {
            return true;
        }
    }
}
