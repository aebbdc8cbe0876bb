package io.chorale.api;

import io.chorale.core.model.FinishReason;
import io.chorale.core.model.SequenceEvent;
import io.chorale.serving.RequestTicket;
import io.chorale.serving.TicketListener;
import io.chorale.text.IncrementalDetokenizer;
import io.chorale.text.StopMatcher;
import io.chorale.text.TextModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One answer on its way from tokens to text: detokenises, watches for stop strings, and collects what has come since the
 * consumer took the last piece. Event loop only.
 */
final class Choice implements TicketListener {
    private final int index;
    private final CompletionRequest request;
    private final Generation generation;
    private final AnswerConsumer consumer;
    private final @Nullable IncrementalDetokenizer detokenizer;
    private final @Nullable StopMatcher stops;
    private final int tokensMin;

    private final StringBuilder text = new StringBuilder();
    private final List<SequenceEvent.Token> tokens = new ArrayList<>();
    private int[] ids = new int[8];
    private int idCount;

    private int completionTokens;
    private int cachedTokens;
    private boolean ended;
    private String finishReason = "";
    private String stopString = "";
    private int stopToken = -1;

    Choice(
            int index,
            CompletionRequest request,
            Optional<TextModel> model,
            Generation generation,
            AnswerConsumer consumer) {
        this.index = index;
        this.request = request;
        this.generation = generation;
        this.consumer = consumer;
        this.detokenizer =
                model.map(m -> m.newDetokenizer(request.specialTokensSkipped())).orElse(null);
        this.stops = request.stops().isEmpty() ? null : new StopMatcher(request.stops(), request.stopIncluded());
        this.tokensMin = request.samplingOf(index).tokensMin();
        if (request.echo()) {
            text.append(request.promptOf(index).text());
        }
    }

    @Override
    public void eventsReady(RequestTicket ticket) {
        generation.pump();
    }

    void accept(RequestTicket ticket, SequenceEvent event) {
        if (ended) {
            // A token or two that the engine drew before it heard of the end.
            return;
        }
        switch (event) {
            case SequenceEvent.Started started -> cachedTokens = started.cachedTokens();
            case SequenceEvent.Token token -> {
                token(token);
                if (ended) {
                    ticket.cancel();
                }
            }
            case SequenceEvent.Finished finished -> finished(finished);
            case SequenceEvent.Dropped dropped -> {
                ended = true;
                consumer.failed(
                        this, ProblemMapper.problemOf(dropped.reason(), dropped.detail(), dropped.retryAfterNanos()));
            }
        }
    }

    private void token(SequenceEvent.Token token) {
        completionTokens++;
        keep(token.tokenId());
        if (request.logProbs()) {
            tokens.add(token);
        }
        if (detokenizer != null) {
            append(detokenizer.push(token.tokenId()));
        }
        tell();
    }

    private void finished(SequenceEvent.Finished finished) {
        completionTokens = finished.usage().completionTokens();
        if (detokenizer != null) {
            append(detokenizer.finish());
        }
        if (!ended) {
            if (stops != null) {
                text.append(stops.finish());
            }
            if (finished.reason() == FinishReason.STOP) {
                keep(finished.stopTokenId());
                boolean named = Arrays.stream(request.userStopIds()).anyMatch(id -> id == finished.stopTokenId());
                stopToken = named ? finished.stopTokenId() : -1;
            }
            end(finished.reason() == FinishReason.STOP ? "stop" : "length");
        }
        tell();
    }

    private void append(String delta) {
        if (stops == null || completionTokens <= tokensMin) {
            text.append(delta);
            return;
        }
        StopMatcher.Emission emission = stops.feed(delta);
        text.append(emission.text());
        emission.stop().ifPresent(stop -> {
            stopString = stop;
            end("stop");
        });
    }

    private void end(String reason) {
        ended = true;
        finishReason = reason;
    }

    private void tell() {
        if (!text.isEmpty() || idCount > 0 || !tokens.isEmpty()) {
            consumer.piece(this);
        }
        if (ended) {
            consumer.ended(this);
        }
    }

    private void keep(int tokenId) {
        if (request.tokenIdsReturned()) {
            if (idCount == ids.length) {
                ids = Arrays.copyOf(ids, idCount * 2);
            }
            ids[idCount++] = tokenId;
        }
    }

    int index() {
        return index;
    }

    CharSequence text() {
        return text;
    }

    /** Tokens of the piece, where log-probabilities are wanted. */
    List<SequenceEvent.Token> tokens() {
        return tokens;
    }

    void writeIds(JsonBytes out) {
        writeIds(ids, idCount, out);
    }

    static void writeIds(int[] ids, int count, JsonBytes out) {
        out.raw("[");
        for (int i = 0; i < count; i++) {
            if (i > 0) {
                out.raw(",");
            }
            out.number(ids[i]);
        }
        out.raw("]");
    }

    void clearPiece() {
        text.setLength(0);
        tokens.clear();
        idCount = 0;
    }

    int completionTokens() {
        return completionTokens;
    }

    int cachedTokens() {
        return cachedTokens;
    }

    /** {@code stop} or {@code length}; empty while it goes on. */
    String finishReason() {
        return finishReason;
    }

    /** Writes what ended the answer, beyond the model's own end token: a string, a token id, or null. */
    void writeStopReason(JsonBytes out) {
        if (!stopString.isEmpty()) {
            out.string(stopString);
        } else if (stopToken >= 0) {
            out.number(stopToken);
        } else {
            out.raw("null");
        }
    }
}
