package io.chorale.sim;

import io.chorale.core.model.FinishReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.engine.sim.SimulatedModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** What a client has got so far, checked event by event: the grammar, and every token against the model. */
final class Answer {
    final RequestSpec spec;
    final List<Integer> tokens = new ArrayList<>();
    SequenceEvent.Started started;
    SequenceEvent end;

    private final SimulatedModel model;
    /** The request's limit, or what the context leaves. */
    private final int tokensMax;

    private final long contributions;
    private long state;

    Answer(RequestSpec spec, SimulatedModel model, int contextMax) {
        this.spec = spec;
        tokensMax = Math.min(spec.sampling().tokensMax(), contextMax - spec.promptTokens().length);
        this.model = model;
        long contributed = 0;
        for (int i = 0; i < spec.adapters().versions().length; i++) {
            contributed += SimulatedModel.contribution(
                    SimServer.adapterName(spec.adapters().versions()[i]),
                    spec.adapters().scales()[i]);
        }
        contributions = contributed;
        state = SimulatedModel.begin();
        for (int i = 0; i < spec.promptTokens().length; i++) {
            state = SimulatedModel.next(state, spec.promptTokens()[i], i < spec.activeFrom() ? 0 : contributions);
        }
    }

    void take(SequenceEvent event) {
        require(end == null, "an event after the end");
        switch (event) {
            case SequenceEvent.Started start -> {
                require(started == null && tokens.isEmpty(), "started twice");
                started = start;
            }
            case SequenceEvent.Token token -> {
                require(started != null, "a token before the start");
                require(token.tokenId() == expected(), "token " + tokens.size() + " is wrong");
                require(!spec.sampling().stopsAt(token.tokenId()), "a stop token was sent");
                require(token.top().size() == Math.max(0, spec.sampling().topLogProbs()), "wrong top tokens");
                tokens.add(token.tokenId());
                state = SimulatedModel.next(state, token.tokenId(), contributions);
            }
            case SequenceEvent.Finished finished -> {
                end = finished;
                boolean stop = finished.reason() == FinishReason.STOP;
                require(!stop || finished.stopTokenId() == expected(), "it stopped at the wrong token");
                require(!stop || tokens.size() >= spec.sampling().tokensMin(), "it stopped too early");
                require(stop || tokens.size() == tokensMax, "it did not reach its length");
                require(
                        finished.usage().completionTokens() == tokens.size() + (stop ? 1 : 0),
                        "usage counts " + finished.usage());
            }
            case SequenceEvent.Dropped dropped -> {
                end = dropped;
                require(!dropped.detail().isEmpty(), "dropped without a reason");
            }
        }
    }

    /** The next token as the model alone would draw it. */
    private int expected() {
        SamplingParams sampling = spec.sampling();
        int[] stops = sampling.stopTokenIds();
        boolean forbidden = tokens.size() < sampling.tokensMin();
        float[] bias = new float[stops.length];
        Arrays.fill(bias, forbidden ? Float.NEGATIVE_INFINITY : 0);
        int position = spec.promptTokens().length + tokens.size() - 1;
        return model.draw(state, sampling.seed(), position, stops, bias, 0, stops.length);
    }

    private void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("request " + spec.id() + ": " + what);
        }
    }
}
