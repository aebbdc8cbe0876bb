package io.chorale.serving;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/**
 * What state the service is in, and whether the serving thread moves. Written by start, stop and the serving thread; read
 * by the door and the health probes.
 *
 * <pre>STARTING → WARMING → SERVING → DRAINING     any of them → DEAD</pre>
 */
public final class Lifecycle {
    /** The states, in the order in which a service passes them. */
    public enum State {
        /** The model is being read. */
        STARTING,
        /** The loop runs; the first answer proves that the whole path works. */
        WARMING,
        SERVING,
        /** Accepts nothing new; answers under way are finished within the grace period. */
        DRAINING,
        /** The engine or the loop broke; only a restart helps. */
        DEAD
    }

    /** @param detail why, for the operator */
    public record Standing(State state, String detail) {}

    private static final Logger LOG = System.getLogger(Lifecycle.class.getName());
    private static final long IDLE = Long.MIN_VALUE;

    private final LongSupplier clock;
    private final AtomicReference<Standing> standing = new AtomicReference<>(new Standing(State.STARTING, ""));
    private volatile long busySinceNanos = IDLE;
    private volatile Consumer<String> onDeath = detail -> {};

    public Lifecycle(LongSupplier clock) {
        this.clock = clock;
    }

    public Standing standing() {
        return standing.get();
    }

    public State state() {
        return standing.get().state();
    }

    /** Goes on to a later state; an earlier one is ignored, so that whoever comes late undoes nothing. */
    public void advance(State to, String detail) {
        Standing before = standing.getAndUpdate(now -> isLater(now.state(), to) ? new Standing(to, detail) : now);
        if (isLater(before.state(), to)) {
            String change = before.state() + " -> " + to + (detail.isEmpty() ? "" : ": " + detail);
            LOG.log(to == State.DEAD ? Level.ERROR : Level.INFO, change);
            if (to == State.DEAD) {
                onDeath.accept(detail);
            }
        }
    }

    /** Calls this with the reason when the service has died, on the thread that found out: it must not wait. */
    public void whenDead(Consumer<String> listener) {
        onDeath = listener;
    }

    private static boolean isLater(State from, State to) {
        return to.compareTo(from) > 0;
    }

    /** How long the serving thread has been in its present cycle; 0 when it waits for work. */
    public long busyNanos() {
        long since = busySinceNanos;
        return since == IDLE ? 0 : Math.max(0, clock.getAsLong() - since);
    }

    void cycleBegins(long nowNanos) {
        busySinceNanos = nowNanos;
    }

    void idles() {
        busySinceNanos = IDLE;
    }
}
