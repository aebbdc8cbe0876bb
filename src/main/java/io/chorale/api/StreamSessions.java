package io.chorale.api;

import io.smallrye.mutiny.Uni;
import io.smallrye.mutiny.subscription.UniEmitter;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

/** The streams that clients may leave and take up again, by id; bounded in number and, each, in time. Any thread. */
public final class StreamSessions {
    /**
     * Bounds and times of a stream.
     *
     * @param sessionsMax streams at once
     * @param eventsMax events kept of each
     * @param grace how long a stream waits for somebody to listen
     * @param pingEvery a stream on which nothing was sent for so long gets a comment
     * @param stallMax a connection that takes nothing for so long counts as gone
     */
    public record Options(int sessionsMax, int eventsMax, Duration grace, Duration pingEvery, Duration stallMax) {}

    private final Answers answers;
    private final Options options;
    private final Map<String, StreamSession> sessions = new ConcurrentHashMap<>();
    private final AtomicInteger count = new AtomicInteger();

    public StreamSessions(Answers answers, Options options) {
        this.answers = answers;
        this.options = options;
    }

    Duration grace() {
        return options.grace();
    }

    /**
     * Begins to answer; the session is there when all requests are through the door, and fails when one is not.
     *
     * @param exchanges makes one for each request
     */
    Uni<StreamSession> open(
            List<CompletionRequest> requests, ScheduledExecutorService home, Supplier<Exchange> exchanges) {
        return Uni.createFrom()
                .emitter(emitter -> home.execute(() -> settle(emitter, () -> {
                    StreamSession session = create(requests, home, exchanges);
                    session.start(answers.door());
                    return session;
                })));
    }

    private StreamSession create(
            List<CompletionRequest> requests, ScheduledExecutorService home, Supplier<Exchange> exchanges) {
        int wanted = requests.stream().mapToInt(CompletionRequest::choices).sum();
        int most = answers.door().requestsMax();
        if (wanted > most) {
            throw Problem.badValue(
                    "requests",
                    "The requests ask for " + wanted + " answers, but the server takes at most " + most
                            + " at once, even when it is idle.");
        }
        if (count.incrementAndGet() > options.sessionsMax()) {
            count.decrementAndGet();
            throw Problem.overloaded(
                    503,
                    "too_many_streams",
                    "The server holds as many resumable streams as it may: " + options.sessionsMax() + ".",
                    options.grace());
        }
        String id = UUID.randomUUID().toString();
        StreamSession session = new StreamSession(id, requests, answers, home, options, exchanges, () -> forget(id));
        sessions.put(id, session);
        return session;
    }

    private void forget(String id) {
        if (sessions.remove(id) != null) {
            count.decrementAndGet();
        }
    }

    /**
     * A connection listens.
     *
     * @param lastId the last event that it has seen; 0: none
     * @return its events; empty when it has seen all
     */
    Uni<Optional<StreamClient>> listen(String id, long lastId, Executor loop) {
        StreamSession session = find(id);
        StreamClient client = new StreamClient(session, loop);
        return Uni.createFrom()
                .emitter(emitter -> session.home().execute(() -> {
                    StreamSession.Attachment attachment = session.attach(client, lastId);
                    loop.execute(() -> {
                        settle(emitter, () -> switch (attachment) {
                            case LISTENS -> Optional.of(client);
                            case OVER -> Optional.<StreamClient>empty();
                            case GAP ->
                                throw Problem.invalid(
                                        410,
                                        "stream_gap",
                                        "Last-Event-ID",
                                        "The events after " + lastId
                                                + " are not kept: the stream cannot be taken up there.");
                        });
                        client.leaveUnlessSubscribed();
                    });
                }));
    }

    void close(String id) {
        StreamSession session = find(id);
        session.home().execute(session::end);
    }

    /** @throws Problem 404 where there is none */
    StreamSession find(String id) {
        StreamSession session = sessions.get(id);
        if (session == null) {
            throw Problem.invalid(404, "stream_not_found", null, "There is no stream " + id + ", or no more.");
        }
        return session;
    }

    private static <T> void settle(UniEmitter<? super T> emitter, Supplier<T> result) {
        try {
            emitter.complete(result.get());
        } catch (RuntimeException failure) {
            emitter.fail(failure);
        }
    }
}
