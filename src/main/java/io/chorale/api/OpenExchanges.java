package io.chorale.api;

import io.chorale.serving.Lifecycle;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import io.quarkus.vertx.http.runtime.filters.Filters;
import io.vertx.core.Vertx;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.core.http.HttpVersion;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.concurrent.TimeUnit;

/**
 * The exchanges that have begun and not ended: who stops waits for them. Quarkus could count them, but is not told of the
 * end of an answer that was broken off, and would wait for it in vain ever after. Any thread.
 */
@Singleton
public class OpenExchanges {
    private static final long LOOK_MILLIS = 10;

    /** Weak, for the same reason: what was broken off is not told to us either, but shows it when it is asked. */
    private final Set<RoutingContext> open =
            Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));

    private final Lifecycle lifecycle;

    private final Vertx vertx;

    OpenExchanges(Lifecycle lifecycle, Vertx vertx) {
        this.lifecycle = lifecycle;
        this.vertx = vertx;
    }

    void register(@Observes Filters filters) {
        filters.register(this::begin, BodyGuard.FIRST + 2);
    }

    private void begin(RoutingContext exchange) {
        open.add(exchange);
        exchange.addEndHandler(ended -> open.remove(exchange));
        if (lifecycle.state() == Lifecycle.State.DRAINING && exchange.request().version() != HttpVersion.HTTP_2) {
            // A client that keeps its connection would find it closed the next time.
            exchange.response().putHeader("Connection", "close");
        }
        exchange.next();
    }

    /** Waits until those that are open now have ended; false: not all have, within this time. */
    public boolean awaitEnd(Duration max) throws InterruptedException {
        long deadline = System.nanoTime() + max.toNanos();
        awaitReads(deadline);
        List<RoutingContext> left;
        synchronized (open) {
            left = List.copyOf(open);
        }
        while (!left.stream().allMatch(OpenExchanges::hasEnded)) {
            if (System.nanoTime() - deadline >= 0) {
                return false;
            }
            Thread.sleep(LOOK_MILLIS);
        }
        return true;
    }

    /** A request whose bytes have come has begun, too: lets each event loop read once more. */
    @SuppressWarnings("deprecation") // it is to become internal, and nothing else names the event loops
    private void awaitReads(long deadline) throws InterruptedException {
        List<Future<?>> turns = new ArrayList<>();
        for (EventExecutor loop : vertx.nettyEventLoopGroup()) {
            // Later, as what is due runs after reading, and what is not delayed may run before.
            turns.add(loop.schedule(() -> {}, LOOK_MILLIS, TimeUnit.MILLISECONDS));
        }
        for (Future<?> turn : turns) {
            turn.await(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
        }
    }

    private static boolean hasEnded(RoutingContext exchange) {
        HttpServerResponse response = exchange.response();
        return response.ended() || response.closed();
    }
}
