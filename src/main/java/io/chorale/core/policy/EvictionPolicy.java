package io.chorale.core.policy;

import io.chorale.core.memory.DeviceAdapter;

/** Which idle resident adapter leaves the device when its room is needed. */
public interface EvictionPolicy {
    /** The lowest leaves first, ties by lower slot. */
    long keepScore(DeviceAdapter idle);

    /** The one whose last step is longest ago. */
    record LeastRecentlyUsed() implements EvictionPolicy {
        @Override
        public long keepScore(DeviceAdapter idle) {
            return idle.usedNanos();
        }
    }
}
