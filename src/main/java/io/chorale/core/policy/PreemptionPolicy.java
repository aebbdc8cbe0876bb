package io.chorale.core.policy;

/** Which running sequence gives its pages back when none are left. Only those are asked about whose pages come free. */
public interface PreemptionPolicy {
    /** The highest yields first, ties by latest arrival. */
    long yieldScore(SequenceView running);

    /** The latest arrival yields, so the oldest always gets on and nobody waits for ever. */
    record LatestArrival() implements PreemptionPolicy {
        @Override
        public long yieldScore(SequenceView running) {
            return running.order();
        }
    }

    /**
     * The one with the least to compute again yields. A sequence grows with every token, so in the end it is among those
     * that stay.
     */
    record CheapestRecompute() implements PreemptionPolicy {
        @Override
        public long yieldScore(SequenceView running) {
            return -(long) (running.promptTokens() + running.answerTokens());
        }
    }
}
