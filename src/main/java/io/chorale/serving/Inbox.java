package io.chorale.serving;

import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * The one way into the serving thread: many threads put commands in, the serving thread takes them out and waits here
 * when it has nothing to do.
 *
 * <p>Bounded by what may come: a request is put in only after the door has reserved a place for it, and an adapter has at
 * most one staging or one question under way, and a version that was removed one more. So nothing that was accepted is
 * ever turned away here, and no event about an adapter is lost. Cancels take no room at all: a flag on the ticket and one
 * signal for all of them.
 */
public final class Inbox {
    private final ConcurrentLinkedQueue<Command> commands = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean cancelSignal = new AtomicBoolean();
    private final AtomicBoolean woken = new AtomicBoolean();
    private final AtomicBoolean waiting = new AtomicBoolean();
    private volatile @Nullable Thread owner;
    private volatile boolean closed;

    /** False when the inbox is closed and the command will never be applied. */
    boolean offer(Command command) {
        if (closed) {
            return false;
        }
        commands.add(command);
        // The owner may have closed and emptied the queue between the two lines above. Whoever gets the command out,
        // the owner or we, answers for it: it is never lost and never answered twice.
        if (closed && commands.remove(command)) {
            return false;
        }
        wake();
        return true;
    }

    /** Makes the serving thread look for tickets whose cancel flag is up. */
    void signalCancel() {
        cancelSignal.set(true);
        wake();
    }

    /** Makes the serving thread run its cycle once more before it waits, whether it waits already or is about to. */
    void wake() {
        woken.set(true);
        if (waiting.compareAndSet(true, false)) {
            LockSupport.unpark(owner);
        }
    }

    @Nullable
    Command poll() {
        return commands.poll();
    }

    boolean takeCancelSignal() {
        return cancelSignal.get() && cancelSignal.getAndSet(false);
    }

    /** Waits until somebody wakes, at most as long as told; returns at once when there is something to do. */
    void await(long nanosMax) {
        owner = Thread.currentThread();
        waiting.set(true);
        if (!woken.getAndSet(false) && commands.isEmpty() && !cancelSignal.get()) {
            LockSupport.parkNanos(this, nanosMax);
        }
        waiting.set(false);
    }

    /** From now on nothing comes in; what is there stays to be polled. */
    void close() {
        closed = true;
    }
}
