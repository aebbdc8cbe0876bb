package io.chorale.api;

import io.chorale.serving.Door;
import io.smallrye.mutiny.operators.AbstractMulti;
import io.smallrye.mutiny.subscription.MultiSubscriber;
import io.smallrye.mutiny.subscription.UniEmitter;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.streams.WriteStream;
import java.time.Duration;
import java.util.concurrent.Flow;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The answers to one request as server-sent events. Event loop only.
 *
 * <pre>
 * OPENING    no event yet that decides the status; a failure here is a clean error response
 * STREAMING  200 is out; what has come goes out in one write while the connection takes more
 * CLOSED     complete, failed, or left by the client
 * </pre>
 *
 * <p>A failure while streaming writes {@code event: error} and then breaks the body off: some client libraries take a
 * body that ends well for a whole answer, whatever the last event said.
 *
 * <p>The first write goes through the framework, and with it status and headers; so do the end and the break. What lies
 * between is written to the connection itself: of the framework's work for an item, nothing is needed for bytes, and it is
 * most of what an event costs.
 *
 * <p>Back-pressure: while the connection's own queue is full, events stay in their tickets, which are bounded; and so is
 * the time for which it may stay full.
 */
final class StreamedAnswer extends AbstractMulti<byte[]> implements AnswerConsumer, Flow.Subscription {
    private enum Phase {
        OPENING,
        STREAMING,
        CLOSED
    }

    private static final byte[] DATA = JsonBytes.ascii("data: ");
    private static final byte[] END = JsonBytes.ascii("\n\n");
    private static final byte[] DONE = JsonBytes.ascii("data: [DONE]\n\n");
    private static final byte[] ERROR = JsonBytes.ascii("event: error\ndata: ");
    private static final byte[] PING = JsonBytes.ascii(": ping\n\n");

    private final UniEmitter<? super Reply> opening;
    private final CompletionRequest request;
    private final AnswerJson json;
    private final Generation generation;
    private final Exchange exchange;
    private final WriteStream<Buffer> connection;
    private final JsonBytes out = new JsonBytes();
    private final boolean[] opened;
    private int open;
    private Phase phase = Phase.OPENING;
    private @Nullable Problem failure;
    private @Nullable MultiSubscriber<? super byte[]> client;
    private long demand;
    private boolean begun;
    private boolean queueFull;
    private boolean sentSincePing;
    private @Nullable Future<?> pings;
    private @Nullable StallWatch stall;

    StreamedAnswer(
            CompletionRequest request,
            ModelCatalog catalog,
            AnswerJson json,
            UniEmitter<? super Reply> opening,
            Exchange exchange,
            WriteStream<Buffer> connection) {
        this.opening = opening;
        this.exchange = exchange;
        this.connection = connection;
        this.request = request;
        this.json = json;
        this.open = request.choices();
        this.opened = new boolean[open];
        this.generation = new Generation(request, catalog, this);
    }

    void start(Door door, ScheduledExecutorService eventLoop, Duration pingEvery, Duration stallMax) {
        if (phase == Phase.OPENING) {
            stall = new StallWatch(eventLoop, stallMax, this::giveUp);
            generation.start(door, eventLoop);
            pings = eventLoop.scheduleAtFixedRate(
                    this::ping, pingEvery.toNanos(), pingEvery.toNanos(), TimeUnit.NANOSECONDS);
        }
    }

    /** The client went away before the status was settled; or it is settled, and nothing is to be done. */
    void stopOpening() {
        if (phase == Phase.OPENING) {
            cancel();
        }
    }

    // ---- from the generation ----

    @Override
    public boolean wantsMore() {
        boolean open = phase == Phase.OPENING || (phase == Phase.STREAMING && takesMore());
        // Nothing comes after an error.
        return open && failure == null;
    }

    @Override
    public void piece(Choice choice) {
        openChoice(choice);
        out.raw(DATA);
        json.piece(choice, out);
        out.raw(END);
        choice.clearPiece();
    }

    @Override
    public void ended(Choice choice) {
        openChoice(choice);
        out.raw(DATA);
        json.end(choice, out);
        out.raw(END);
        if (--open > 0 || failure != null) {
            return;
        }
        if (request.usageIncluded()) {
            out.raw(DATA);
            json.usage(generation.choices(), out);
            out.raw(END);
        }
        out.raw(DONE);
    }

    private void openChoice(Choice choice) {
        if (!opened[choice.index()]) {
            opened[choice.index()] = true;
            if (json.opens()) {
                out.raw(DATA);
                json.open(choice, out);
                out.raw(END);
            }
        }
    }

    @Override
    public void failed(Choice choice, Problem problem) {
        if (failure != null) {
            return;
        }
        failure = problem;
        if (phase == Phase.STREAMING) {
            out.raw(ERROR);
            problem.write(out);
            out.raw(END);
        }
    }

    @Override
    public void flush() {
        if (phase == Phase.OPENING) {
            if (failure != null) {
                close();
                opening.fail(failure);
            } else if (!out.isEmpty()) {
                phase = Phase.STREAMING;
                // The subscriber comes within this call, and with it the first demand.
                opening.complete(Reply.events(this).timed(generation.times()));
            }
        } else {
            send();
        }
    }

    // ---- to the client ----

    @Override
    public void subscribe(MultiSubscriber<? super byte[]> subscriber) {
        client = subscriber;
        subscriber.onSubscribe(this);
    }

    @Override
    public void request(long count) {
        demand = Math.max(demand, demand + count);
        watch();
        generation.pump();
    }

    /** The client went away. */
    @Override
    public void cancel() {
        close();
    }

    /** Once the first write is through, the framework wants another: that demand stands for the rest of the answer. */
    private boolean takesMore() {
        return demand > 0 && !queueFull;
    }

    private void send() {
        if (phase != Phase.STREAMING || client == null) {
            return;
        }
        boolean blocked = !takesMore();
        if (!out.isEmpty() && !blocked) {
            sentSincePing = true;
            if (begun) {
                write(out.takeBuffer());
            } else {
                begun = true;
                demand--;
                client.onNext(out.take());
            }
        }
        // The call above may have come back here and closed.
        boolean over = phase == Phase.STREAMING && (open == 0 || failure != null);
        if (over && failure != null && (out.isEmpty() || blocked)) {
            close();
            client.onFailure(failure);
        } else if (over && out.isEmpty() && !queueFull) {
            // Not before the connection has taken most of it: who reads nothing of an answer's end is found out too.
            close();
            client.onCompletion();
        }
    }

    /** What nobody reads is not kept for ever. */
    private void watch() {
        if (stall != null && phase == Phase.STREAMING) {
            if (takesMore()) {
                stall.moves();
            } else {
                stall.blocked();
            }
        }
    }

    private void giveUp() {
        if (phase == Phase.STREAMING) {
            failure = Problem.failed(500, "slow_consumer", "The client does not read its answer.", Problem.Retry.NO);
            generation.abandon();
            send();
        }
    }

    private void write(Buffer events) {
        // Who is told of a failure is the connection, which then closes.
        connection.write(events, null);
        // The write may have found the client gone.
        if (phase == Phase.STREAMING && connection.writeQueueFull()) {
            queueFull = true;
            watch();
            connection.drainHandler(drained -> {
                queueFull = false;
                watch();
                generation.pump();
            });
        }
    }

    private void ping() {
        watch();
        if (phase == Phase.STREAMING && !sentSincePing && out.isEmpty() && takesMore()) {
            out.raw(PING);
            send();
        }
        sentSincePing = false;
    }

    private void close() {
        if (phase == Phase.STREAMING || (phase == Phase.OPENING && failure == null)) {
            String outcome = open == 0 ? "" : "cancelled";
            exchange.ended(request, generation, failure == null ? outcome : failure.code());
        }
        phase = Phase.CLOSED;
        generation.cancel();
        if (pings != null) {
            pings.cancel(false);
        }
        if (stall != null) {
            stall.stop();
        }
    }
}
