package io.chorale.api;

import io.chorale.serving.Door;
import io.smallrye.mutiny.subscription.UniEmitter;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/** The answers to one request as one body, when all of them have ended. Event loop only. */
final class WholeAnswer implements AnswerConsumer {
    private final UniEmitter<? super Reply> emitter;
    private final CompletionRequest request;
    private final Exchange exchange;
    private final AnswerJson json;
    private final Generation generation;
    private int open;
    private @Nullable Problem failure;
    private boolean told;

    WholeAnswer(
            CompletionRequest request,
            ModelCatalog catalog,
            AnswerJson json,
            UniEmitter<? super Reply> emitter,
            Exchange exchange) {
        this.emitter = emitter;
        this.request = request;
        this.exchange = exchange;
        this.json = json;
        this.open = request.choices();
        this.generation = new Generation(request, catalog, this);
    }

    void start(Door door, Executor eventLoop) {
        if (!told) {
            generation.start(door, eventLoop);
        }
    }

    /** The client went away, or has its answer. */
    void stop() {
        if (!told) {
            exchange.ended(request, generation, "cancelled");
        }
        told = true;
        generation.cancel();
    }

    @Override
    public boolean wantsMore() {
        return true;
    }

    @Override
    public void piece(Choice choice) {
        // Pieces stay in the choice until the whole is written.
    }

    @Override
    public void ended(Choice choice) {
        open--;
    }

    @Override
    public void failed(Choice choice, Problem problem) {
        if (failure == null) {
            failure = problem;
        }
    }

    @Override
    public void flush() {
        if (told) {
            return;
        }
        if (failure != null) {
            told = true;
            emitter.fail(failure);
        } else if (open == 0) {
            told = true;
            JsonBytes out = new JsonBytes();
            json.whole(generation.choices(), out);
            exchange.ended(request, generation, "");
            emitter.complete(Reply.json(out.take()).timed(generation.times()));
        }
    }
}
