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
        return http.bytesRead() <= SHORT_BYTES_MAX
                ? Uni.createFrom().item(reader)
                : onWorker(Infrastructure.getDefaultWorkerPool(), eventLoop, reader);
    }

    static <T> Uni<T> onWorker(Executor worker, Executor eventLoop, Supplier<T> reader) {
        return Uni.createFrom()
                .item(() -> outcome(reader))
                .runSubscriptionOn(worker)
                .emitOn(eventLoop)
                .map(Supplier::get);
    }

    /** A refusal comes as a value: as a failure it would be logged as an error where its client has gone meanwhile. */
    private static <T> Supplier<T> outcome(Supplier<T> reader) {
        try {
            T read = reader.get();
            return () -> read;
        } catch (Problem refused) {
            return () -> {
                throw refused;
            };
        }
    }
}
