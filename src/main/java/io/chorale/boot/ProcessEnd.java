package io.chorale.boot;

import java.time.Duration;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import java.util.logging.Handler;
import java.util.logging.LogManager;
import org.jboss.logging.Logger;

/**
 * Ends the process of a dead service within a bound, so that a supervisor starts it anew: first in order, once the broken
 * answers have had time to reach their clients; and when that hangs, as it may with a dead device, at once.
 */
final class ProcessEnd implements Consumer<String> {
    /** EX_SOFTWARE of sysexits.h: an internal error. */
    static final int STATUS = 70;

    private static final Logger LOG = Logger.getLogger(ProcessEnd.class);

    /** Of the bound: for the last events of streams and for a probe that asks. */
    private static final double FAREWELL = 0.25;

    private final Duration within;
    private final IntConsumer exit;
    private final IntConsumer halt;

    /**
     * @param exit begins an orderly end; may wait for ever
     * @param halt ends the process where it stands
     */
    ProcessEnd(Duration within, IntConsumer exit, IntConsumer halt) {
        this.within = within;
        this.exit = exit;
        this.halt = halt;
    }

    @Override
    public void accept(String reason) {
        LOG.errorf("only a restart helps (%s): the process ends with status %d within %s", reason, STATUS, within);
        long farewellMillis = Math.round(within.toMillis() * FAREWELL);
        Thread.ofPlatform().daemon().name("chorale-exit").start(() -> {
            pause(farewellMillis);
            exit.accept(STATUS);
        });
        Thread.ofPlatform().daemon().name("chorale-halt").start(() -> {
            pause(within.toMillis());
            flushLogs();
            halt.accept(STATUS);
        });
    }

    private static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
        }
    }

    private static void flushLogs() {
        java.util.logging.Logger root = LogManager.getLogManager().getLogger("");
        if (root != null) {
            for (Handler handler : root.getHandlers()) {
                handler.flush();
            }
        }
    }
}
