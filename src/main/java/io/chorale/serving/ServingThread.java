package io.chorale.serving;

import io.chorale.core.model.DropReason;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.function.LongSupplier;

/**
 * Runs the loop on its own platform thread (a virtual one would pin its carrier in every step) until the service has
 * drained or died. A broken invariant or a dead engine ends it: every request gets an answer and the life cycle says DEAD.
 */
final class ServingThread {
    private static final Logger LOG = System.getLogger(ServingThread.class.getName());

    /** While requests wait (for an adapter, for pages) the loop looks again this often, since time passes for them too. */
    private static final long WAIT_NANOS_MAX = 20_000_000;

    /** After the grace period a step under way gets this much more. */
    private static final Duration STEP_MAX = Duration.ofSeconds(10);

    private final ServingLoop loop;
    private final Inbox inbox;
    private final Lifecycle lifecycle;
    private final LongSupplier clock;
    private final Duration drainGrace;
    private final Thread thread;

    ServingThread(ServingLoop loop, Inbox inbox, Lifecycle lifecycle, LongSupplier clock, Duration drainGrace) {
        this.loop = loop;
        this.inbox = inbox;
        this.lifecycle = lifecycle;
        this.clock = clock;
        this.drainGrace = drainGrace;
        this.thread = Thread.ofPlatform().name("chorale-serving").unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    /**
     * Refuses new requests, lets those under way end within the grace period, and returns when the thread has ended.
     *
     * @return false when it does not end: it is stuck in a step, and the engine must be left as it is
     */
    boolean drain() {
        lifecycle.advance(Lifecycle.State.DRAINING, "finishing answers for at most " + drainGrace);
        inbox.wake();
        try {
            return !thread.isAlive() || thread.join(drainGrace.plus(STEP_MAX));
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    private void run() {
        try {
            serve();
            finish();
            loop.close(DropReason.DRAINING, "the server is shutting down");
        } catch (RuntimeException | Error death) {
            LOG.log(Level.ERROR, "the serving loop ended", death);
            lifecycle.advance(Lifecycle.State.DEAD, String.valueOf(death.getMessage()));
            loop.close(DropReason.ENGINE_DEAD, "the engine is dead: " + death.getMessage());
        } finally {
            lifecycle.idles();
        }
    }

    private void serve() {
        while (lifecycle.state().compareTo(Lifecycle.State.DRAINING) < 0) {
            cycle();
        }
    }

    private void finish() {
        long deadline = clock.getAsLong() + drainGrace.toNanos();
        while (cycle() > 0 || loop.hasRequests()) {
            if (clock.getAsLong() - deadline >= 0) {
                loop.dropAll(DropReason.DRAINING, "the server is shutting down and the answer took too long to finish");
                break;
            }
        }
        while (loop.stepInFlight()) {
            cycle();
        }
    }

    /** One cycle of the loop; waits when there is nothing to do, but for shutdown, which does not wait for company. */
    private int cycle() {
        lifecycle.cycleBegins(clock.getAsLong());
        int work = loop.doWork();
        if (work == 0) {
            lifecycle.idles();
            boolean serving = lifecycle.state().compareTo(Lifecycle.State.DRAINING) < 0;
            if (loop.hasRequests()) {
                inbox.await(WAIT_NANOS_MAX);
            } else if (serving) {
                inbox.await(Long.MAX_VALUE);
            }
        }
        return work;
    }
}
