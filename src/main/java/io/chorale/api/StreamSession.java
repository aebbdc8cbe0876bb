package io.chorale.api;

import io.chorale.serving.Door;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Several requests answered over one stream that a client may leave and take up again.
 *
 * <p>Every event has a number, which is its {@code id} on the wire. Events are kept after they were sent, so that a
 * client that comes back says the last id it saw and goes on after it. When no more are kept, sent events go first; when
 * all are unsent, the tickets are not drained any more, and what then overflows is dropped as a slow consumer's. Nobody
 * listening for the grace period ends the session.
 *
 * <p>One thread, the home event loop, owns it; other threads come through {@link #home}.
 */
final class StreamSession {
    /** Bytes of one write, more or less: enough to catch up quickly, too few to hold up others. */
    private static final int WRITE_BYTES = 64 << 10;

    private static final byte[] RETRY = JsonBytes.ascii("retry: 1000\n\n");
    private static final byte[] PING = JsonBytes.ascii(": ping\n\n");
    private static final byte[] END = JsonBytes.ascii("\n\n");

    /** What a client that wants to listen is told. */
    enum Attachment {
        LISTENS,
        /** All was sent, to the end. */
        OVER,
        /** What follows the id is not kept any more. */
        GAP
    }

    private final String id;
    private final ScheduledExecutorService home;
    private final StreamSessions.Options options;
    private final Runnable onEnd;
    private final List<Part> parts = new ArrayList<>();
    private final KeptEvents events;
    private final JsonBytes out = new JsonBytes();
    private int openParts;
    private boolean started;
    private boolean complete;
    private boolean ended;
    private @Nullable StreamClient client;
    private long demand;
    private boolean greeted;
    private boolean sentSincePing;
    private @Nullable Future<?> expiry;
    private @Nullable Future<?> pings;
    private final StallWatch stall;

    /**
     * @param exchanges makes one for each request
     * @param onEnd called once, when the session is over and to be forgotten
     */
    StreamSession(
            String id,
            List<CompletionRequest> requests,
            Answers answers,
            ScheduledExecutorService home,
            StreamSessions.Options options,
            Supplier<Exchange> exchanges,
            Runnable onEnd) {
        this.id = id;
        this.home = home;
        this.options = options;
        this.onEnd = onEnd;
        for (CompletionRequest request : requests) {
            parts.add(new Part(parts.size(), request, answers, exchanges.get()));
        }
        openParts = parts.size();
        events = new KeptEvents(options.eventsMax());
        stall = new StallWatch(home, options.stallMax(), this::giveUp);
    }

    String id() {
        return id;
    }

    ScheduledExecutorService home() {
        return home;
    }

    /**
     * Takes all requests through the door, or none.
     *
     * @throws Problem when the door refuses one of them
     */
    void start(Door door) {
        try {
            for (Part part : parts) {
                part.generation.start(door, home);
            }
        } catch (RuntimeException refused) {
            end();
            throw refused;
        }
        started = true;
        expireLater();
        long ping = options.pingEvery().toNanos();
        pings = home.scheduleAtFixedRate(this::ping, ping, ping, TimeUnit.NANOSECONDS);
    }

    /** A client listens from the event after {@code lastId} on; another one that still does is cut off. */
    Attachment attach(StreamClient newClient, long lastId) {
        if (ended || !events.reachesBackTo(lastId)) {
            return Attachment.GAP;
        }
        if (complete && lastId + 1 == events.nextId()) {
            return Attachment.OVER;
        }
        if (client != null) {
            client.cut();
        }
        client = newClient;
        stall.moves();
        greeted = false;
        demand = 0;
        events.resumeAfter(lastId);
        cancelExpiry();
        return Attachment.LISTENS;
    }

    /** The connection takes another write. */
    void demand(StreamClient asking, long count) {
        if (asking == client) {
            demand += count;
            stall.moves();
            pump();
        }
    }

    /** The connection is gone; the session waits for another one. */
    void detach(StreamClient leaving) {
        if (leaving == client) {
            client = null;
            stall.moves();
            expireLater();
        }
    }

    /** The connection takes nothing: it is as good as gone. */
    private void giveUp() {
        if (client != null) {
            client.cut();
            detach(client);
        }
    }

    /** Nobody wants it any more. */
    void end() {
        if (ended) {
            return;
        }
        ended = true;
        cancelExpiry();
        if (pings != null) {
            pings.cancel(false);
        }
        stall.stop();
        parts.forEach(Part::abandon);
        if (client != null) {
            client.cut();
            client = null;
        }
        onEnd.run();
    }

    private void pump() {
        for (Part part : parts) {
            part.generation.pump();
        }
        send();
    }

    private void send() {
        if (client == null || demand == 0) {
            return;
        }
        if (events.hasUnsent() || !greeted) {
            write(client, unsent());
        }
        if (complete && !events.hasUnsent()) {
            client.complete();
            client = null;
            stall.moves();
            expireLater();
        }
    }

    private void write(StreamClient to, byte[] bytes) {
        if (--demand == 0) {
            stall.blocked();
        }
        sentSincePing = true;
        to.send(bytes);
    }

    private void ping() {
        if (client != null && demand > 0 && !sentSincePing) {
            write(client, PING);
        }
        sentSincePing = false;
    }

    /** The next write: what is unsent, and before it, on a new connection, how soon to come back after a break. */
    private byte[] unsent() {
        if (!greeted) {
            greeted = true;
            out.raw(RETRY);
        }
        events.send(out, WRITE_BYTES);
        return out.take();
    }

    private boolean hasRoom() {
        return !ended && events.hasRoom();
    }

    private void partEnded() {
        if (--openParts == 0) {
            complete = true;
            events.append(out.raw("event: end\nid: ")
                    .number(events.nextId())
                    .raw("\ndata: {}\n\n")
                    .take());
        }
    }

    private void expireLater() {
        cancelExpiry();
        expiry = home.schedule(this::end, options.grace().toNanos(), TimeUnit.NANOSECONDS);
    }

    private void cancelExpiry() {
        if (expiry != null) {
            expiry.cancel(false);
        }
    }

    /** One of the requests. Its events carry its index. */
    private final class Part implements AnswerConsumer {
        private final int index;
        private final CompletionRequest request;
        private final Exchange exchange;
        private final AnswerJson json;
        private final Generation generation;
        private final boolean[] opened;
        private int open;
        private boolean failed;

        Part(int index, CompletionRequest request, Answers answers, Exchange exchange) {
            this.index = index;
            this.request = request;
            this.exchange = exchange;
            this.json = answers.json(request);
            this.opened = new boolean[request.choices()];
            this.open = request.choices();
            this.generation = new Generation(request, answers.catalog(), this);
        }

        @Override
        public boolean wantsMore() {
            return hasRoom() && !failed; // nothing comes after an error
        }

        @Override
        public void piece(Choice choice) {
            openChoice(choice);
            json.piece(choice, begin("chunk"));
            finish();
            choice.clearPiece();
        }

        @Override
        public void ended(Choice choice) {
            openChoice(choice);
            json.end(choice, begin("chunk"));
            finish();
            if (--open == 0 && !failed) {
                if (request.usageIncluded()) {
                    json.usage(generation.choices(), begin("chunk"));
                    finish();
                }
                exchange.ended(request, generation, "");
                partEnded();
            }
        }

        /** The session is over; what had not ended by then ends now. A refusal is told of by whoever asked. */
        void abandon() {
            generation.cancel();
            if (started) {
                exchange.ended(request, generation, "cancelled");
            }
        }

        private void openChoice(Choice choice) {
            if (!opened[choice.index()]) {
                opened[choice.index()] = true;
                if (json.opens()) {
                    json.open(choice, begin("chunk"));
                    finish();
                }
            }
        }

        @Override
        public void failed(Choice choice, Problem problem) {
            if (!failed && open > 0) {
                failed = true;
                generation.cancel();
                problem.writeInner(begin("error"));
                finish();
                exchange.ended(request, generation, problem.code());
                partEnded();
            }
        }

        @Override
        public void flush() {
            send();
        }

        private JsonBytes begin(String what) {
            return out.raw("id: ")
                    .number(events.nextId())
                    .raw("\ndata: {\"request\":")
                    .number(index)
                    .raw(",\"")
                    .raw(what)
                    .raw("\":");
        }

        private void finish() {
            events.append(out.raw("}").raw(END).take());
        }
    }
}
