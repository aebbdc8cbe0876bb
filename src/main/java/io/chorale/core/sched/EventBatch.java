package io.chorale.core.sched;

import io.chorale.core.model.DropReason;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.model.TopLogProbs;
import io.chorale.core.model.Usage;
import java.util.ArrayList;
import java.util.List;

/**
 * The events of one step, in the order in which they happened. Filled by the scheduler, drained by the fan-out, reused.
 */
public final class EventBatch {
    private final List<SequenceEvent> events = new ArrayList<>();

    public void started(long requestId, long queuedNanos) {
        events.add(new SequenceEvent.Started(requestId, queuedNanos));
    }

    public void token(long requestId, int tokenId, float logProb, TopLogProbs top) {
        events.add(new SequenceEvent.Token(requestId, tokenId, logProb, top));
    }

    public void finished(long requestId, FinishReason reason, int stopTokenId, Usage usage) {
        events.add(new SequenceEvent.Finished(requestId, reason, stopTokenId, usage));
    }

    public void dropped(long requestId, DropReason reason, String detail, Usage usage) {
        events.add(new SequenceEvent.Dropped(requestId, reason, detail, usage));
    }

    public int size() {
        return events.size();
    }

    public SequenceEvent get(int index) {
        return events.get(index);
    }

    /** Appends everything to another batch and forgets it here. */
    public void moveTo(EventBatch into) {
        into.events.addAll(events);
        events.clear();
    }

    public void clear() {
        events.clear();
    }
}
