package io.chorale.api;

import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.net.impl.ConnectionBase;
import java.util.concurrent.ScheduledExecutorService;

/** Finds the event loop of a connection, also from a worker thread. */
final class EventLoops {
    private EventLoops() {}

    static ScheduledExecutorService of(HttpServerRequest request) {
        return ((ConnectionBase) request.connection()).channel().eventLoop();
    }
}
