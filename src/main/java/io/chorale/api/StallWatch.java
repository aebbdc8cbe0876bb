package io.chorale.api;

import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Tells, once, of a connection that has taken nothing for too long. One timer serves it, however often the connection is
 * blocked for a moment. Event loop only.
 */
final class StallWatch {
    private final ScheduledExecutorService eventLoop;
    private final long nanosMax;
    private final Runnable stalled;
    private boolean isBlocked;
    private long sinceNanos;
    private @Nullable Future<?> timer;

    /** @param stalled called when the connection was blocked for {@code max} */
    StallWatch(ScheduledExecutorService eventLoop, Duration max, Runnable stalled) {
        this.eventLoop = eventLoop;
        this.nanosMax = max.toNanos();
        this.stalled = stalled;
    }

    /** The connection takes no more for now. */
    void blocked() {
        if (!isBlocked) {
            isBlocked = true;
            sinceNanos = System.nanoTime();
            if (timer == null) {
                lookAfter(nanosMax);
            }
        }
    }

    /** It takes more again. */
    void moves() {
        isBlocked = false;
    }

    /** Nobody wants to know any more. */
    void stop() {
        isBlocked = false;
        if (timer != null) {
            timer.cancel(false);
            timer = null;
        }
    }

    private void lookAfter(long inNanos) {
        timer = eventLoop.schedule(this::look, inNanos, TimeUnit.NANOSECONDS);
    }

    private void look() {
        timer = null;
        if (isBlocked) {
            long left = nanosMax - (System.nanoTime() - sinceNanos);
            if (left > 0) {
                lookAfter(left);
            } else {
                stalled.run();
            }
        }
    }
}
