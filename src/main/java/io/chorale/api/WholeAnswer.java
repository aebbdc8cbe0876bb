package io.chorale.api;

import io.chorale.serving.Door;
import io.smallrye.mutiny.Multi;
import io.smallrye.mutiny.subscription.UniEmitter;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/** The answers to one request as one body of JSON, when all of them have ended. Event loop only. */
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
            exchange.ended(request, generation, "");
            emitter.complete(Reply.json(body()).timed(generation.times()));
        }
    }

    /**
     * In one piece; but with log-probabilities a choice may be megabytes and take tens of milliseconds to write, and a
     * request may ask for a hundred. Each is then written when the one before is out, and let go of.
     */
    private Multi<byte[]> body() {
        List<Choice> choices = generation.choices();
        JsonBytes out = new JsonBytes();
        json.beginWhole(out);
        if (request.logProbs()) {
            return Multi.createFrom().iterable(() -> pieces(choices, out));
        }
        choices.forEach(choice -> json.whole(choice, out));
        json.endWhole(choices, out);
        return Multi.createFrom().item(out.take());
    }

    private Iterator<byte[]> pieces(List<Choice> choices, JsonBytes out) {
        Iterator<Choice> left = choices.iterator();
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                return left.hasNext();
            }

            @Override
            public byte[] next() {
                Choice choice = left.next();
                json.whole(choice, out);
                choice.clearPiece();
                if (!left.hasNext()) {
                    json.endWhole(choices, out);
                }
                return out.take();
            }
        };
    }
}
