package io.chorale.engine.sim;

import java.util.concurrent.locks.LockSupport;

/** The time in which a simulated engine's steps take place. */
public interface SimClock {
    long nanos();

    /** Returns when it is this late or later. */
    void sleepUntil(long nanos);

    /** Time that passes when somebody says so: simulations run as fast as they compute. One thread. */
    final class Virtual implements SimClock {
        private long nanos;

        @Override
        public long nanos() {
            return nanos;
        }

        @Override
        public void sleepUntil(long until) {
            nanos = Math.max(nanos, until);
        }
    }

    /** Real time: a server on a simulated engine has the pace of a real one. */
    final class Wall implements SimClock {
        @Override
        public long nanos() {
            return System.nanoTime();
        }

        @Override
        public void sleepUntil(long until) {
            for (long left = until - nanos(); left > 0; left = until - nanos()) {
                LockSupport.parkNanos(left);
            }
        }
    }
}
