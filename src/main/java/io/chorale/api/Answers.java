package io.chorale.api;

import io.chorale.serving.Door;
import io.smallrye.mutiny.Uni;
import io.smallrye.mutiny.subscription.UniEmitter;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.streams.WriteStream;
import java.time.Duration;
import java.time.InstantSource;
import java.util.UUID;
import java.util.concurrent.ScheduledExecutorService;

/** Answers requests: whole, or as a stream of events whose status waits for the first of them. */
public final class Answers {
    private final Door door;
    private final ModelCatalog catalog;
    private final InstantSource wallClock;
    private final Duration pingEvery;
    private final Duration stallMax;

    /**
     * @param pingEvery a stream on which nothing was sent for so long gets a comment, lest a proxy closes it
     * @param stallMax a stream whose connection takes nothing for so long is broken off
     */
    public Answers(Door door, ModelCatalog catalog, InstantSource wallClock, Duration pingEvery, Duration stallMax) {
        this.door = door;
        this.catalog = catalog;
        this.wallClock = wallClock;
        this.pingEvery = pingEvery;
        this.stallMax = stallMax;
    }

    ModelCatalog catalog() {
        return catalog;
    }

    Door door() {
        return door;
    }

    AnswerJson json(CompletionRequest request) {
        String id = UUID.randomUUID().toString().replace("-", "");
        return new AnswerJson(request, catalog, id, wallClock.instant().getEpochSecond());
    }

    /**
     * @param eventLoop of the connection: everything happens there, wherever the request was read
     * @param exchange that the answer belongs to
     * @param connection that takes a stream's bytes, once its head is out
     */
    Uni<Reply> answer(
            CompletionRequest request,
            ScheduledExecutorService eventLoop,
            Exchange exchange,
            WriteStream<Buffer> connection) {
        exchange.asks(request);
        Uni<Reply> reply = Uni.createFrom().emitter(emitter -> {
            if (request.stream()) {
                StreamedAnswer answer =
                        new StreamedAnswer(request, catalog, json(request), emitter, exchange, connection);
                emitter.onTermination(answer::stopOpening);
                eventLoop.execute(
                        () -> guarded(emitter, exchange, () -> answer.start(door, eventLoop, pingEvery, stallMax)));
            } else {
                WholeAnswer answer = new WholeAnswer(request, catalog, json(request), emitter, exchange);
                emitter.onTermination(answer::stop);
                eventLoop.execute(() -> guarded(emitter, exchange, () -> answer.start(door, eventLoop)));
            }
        });
        return reply.map(settled -> settled.answeredBy(catalog.answering(request.model())));
    }

    private static void guarded(UniEmitter<? super Reply> emitter, Exchange exchange, Runnable start) {
        try {
            start.run();
        } catch (RuntimeException refused) {
            // Before the emitter ends, which the answer would take for a client that leaves.
            exchange.refused(refused);
            emitter.fail(refused);
        }
    }
}
