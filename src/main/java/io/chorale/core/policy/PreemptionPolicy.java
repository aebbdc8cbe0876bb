package io.chorale.core.policy;

/** Which running sequence gives its pages back when none are left. */
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
}
