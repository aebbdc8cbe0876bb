package io.chorale.api;

import io.smallrye.mutiny.Uni;
import io.smallrye.mutiny.infrastructure.Infrastructure;
import io.vertx.core.http.HttpServerRequest;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/**
 * Where requests are read: short ones on the event loop that they came on, long ones on a worker. Tokenising takes a
 * second a megabyte, and an event loop has the streams and probes of many others to serve.
 */
final class Reading {
    /** A body of so many bytes is tokenised in a few milliseconds. */
    private static final long SHORT_BYTES_MAX = 8 << 10;

    private Reading() {}

    /** What {@code reader} makes of the request, on its event loop; its exceptions are failures. */
    static <T> Uni<T> of(HttpServerRequest http, Executor eventLoop, Supplier<T> reader) {
        Uni<T> read = Uni.createFrom().item(reader);
        return http.bytesRead() <= SHORT_BYTES_MAX
                ? read
                : read.runSubscriptionOn(Infrastructure.getDefaultWorkerPool()).emitOn(eventLoop);
    }
}
