package io.chorale.api;

import io.smallrye.mutiny.operators.AbstractMulti;
import io.smallrye.mutiny.subscription.MultiSubscriber;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import org.jspecify.annotations.Nullable;

/**
 * A connection that listens to a {@link StreamSession}. The session has its home on one event loop, the connection may
 * have another: what one wants of the other goes through its loop. Owned by the connection's loop.
 */
final class StreamClient extends AbstractMulti<byte[]> implements Flow.Subscription {
    private final StreamSession session;
    private final Executor loop;
    private @Nullable MultiSubscriber<? super byte[]> connection;
    private boolean closed;

    /** @param loop of the connection */
    StreamClient(StreamSession session, Executor loop) {
        this.session = session;
        this.loop = loop;
    }

    // ---- from the session ----

    void send(byte[] events) {
        loop.execute(() -> {
            if (!closed && connection != null) {
                connection.onNext(events);
            }
        });
    }

    void complete() {
        loop.execute(() -> {
            if (!closed && connection != null) {
                closed = true;
                connection.onCompletion();
            }
        });
    }

    /** Breaks the body off: this connection gets no more, and must not take what it has for the whole. */
    void cut() {
        loop.execute(() -> {
            if (!closed && connection != null) {
                closed = true;
                connection.onFailure(
                        Problem.failed(500, "stream_cut", "Somebody else listens, or nobody may.", Problem.Retry.NO));
            }
        });
    }

    // ---- from the connection ----

    @Override
    public void subscribe(MultiSubscriber<? super byte[]> subscriber) {
        connection = subscriber;
        subscriber.onSubscribe(this);
    }

    /** The connection went before it could listen, and nobody else would tell the session. */
    void leaveUnlessSubscribed() {
        if (connection == null) {
            cancel();
        }
    }

    @Override
    public void request(long count) {
        session.home().execute(() -> session.demand(this, count));
    }

    @Override
    public void cancel() {
        if (!closed) {
            closed = true;
            session.home().execute(() -> session.detach(this));
        }
    }
}
