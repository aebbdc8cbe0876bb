package io.chorale.core.sched;

import io.chorale.core.model.DropReason;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.model.TopLogProbs;
import io.chorale.core.model.Usage;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The events of one step, in the order in which they happened. Filled by the scheduler, drained by the fan-out, reused.
 *
 * <p>Tokens, which come with every step, are kept in arrays and become events when they are asked for; the others, of
 * which a request has two, are events at once.
 */
public final class EventBatch {
    private @Nullable SequenceEvent[] others = new SequenceEvent[64];
    private long[] requestIds = new long[64];
    private int[] tokenIds = new int[64];
    private float[] logProbs = new float[64];
    private TopLogProbs[] tops = new TopLogProbs[64];
    private int count;

    public void started(long requestId, long queuedNanos, int cachedTokens) {
        add(new SequenceEvent.Started(requestId, queuedNanos, cachedTokens));
    }

    public void token(long requestId, int tokenId, float logProb, TopLogProbs top) {
        makeRoom(count + 1);
        others[count] = null;
        requestIds[count] = requestId;
        tokenIds[count] = tokenId;
        logProbs[count] = logProb;
        tops[count++] = top;
    }

    public void finished(long requestId, FinishReason reason, int stopTokenId, Usage usage) {
        add(new SequenceEvent.Finished(requestId, reason, stopTokenId, usage));
    }

    public void dropped(long requestId, DropReason reason, String detail, Usage usage) {
        add(new SequenceEvent.Dropped(requestId, reason, detail, usage));
    }

    private void add(SequenceEvent event) {
        makeRoom(count + 1);
        others[count++] = event;
    }

    public int size() {
        return count;
    }

    public SequenceEvent get(int index) {
        SequenceEvent other = others[index];
        return other != null
                ? other
                : new SequenceEvent.Token(requestIds[index], tokenIds[index], logProbs[index], tops[index]);
    }

    /** Appends everything to another batch and forgets it here. */
    public void moveTo(EventBatch into) {
        into.makeRoom(into.count + count);
        System.arraycopy(others, 0, into.others, into.count, count);
        System.arraycopy(requestIds, 0, into.requestIds, into.count, count);
        System.arraycopy(tokenIds, 0, into.tokenIds, into.count, count);
        System.arraycopy(logProbs, 0, into.logProbs, into.count, count);
        System.arraycopy(tops, 0, into.tops, into.count, count);
        into.count += count;
        clear();
    }

    public void clear() {
        Arrays.fill(others, 0, count, null);
        count = 0;
    }

    private void makeRoom(int wanted) {
        if (wanted > others.length) {
            int size = Math.max(wanted, 2 * others.length);
            others = Arrays.copyOf(others, size);
            requestIds = Arrays.copyOf(requestIds, size);
            tokenIds = Arrays.copyOf(tokenIds, size);
            logProbs = Arrays.copyOf(logProbs, size);
            tops = Arrays.copyOf(tops, size);
        }
    }
}
