package io.chorale.core.memory;

import java.util.Arrays;

/**
 * The pages that a set of sequences will need at the worst moment, if all advance by a token a step to their limits
 * (S-LoRA's admission test, section on batching, in pages instead of tokens). A query: asking changes nothing, whatever the
 * answer.
 *
 * <p>Demand grows until a sequence ends, so the worst moment is the last step of one of them. When the sequence with
 * {@code left} tokens to go ends, exactly those with at least as many to go still hold their pages. With sequences
 * sorted by tokens left, descending, and {@code ceil((held_j + left_i) / T)} split into quotients and one carry,
 * <pre>
 * need_i = sum_{j<=i} quotient_j + i * quotient(left_i) + #{j <= i : carry_j}
 * </pre>
 * the carries are counted by remainder, so one answer takes O(n * T), and no sum is done twice.
 */
public final class PeakDemand {
    private final int pageTokens;
    private final int[] carried;
    private int[] held = new int[64];
    private int[] left = new int[64];
    private int count;

    public PeakDemand(int pageTokens) {
        this.pageTokens = pageTokens;
        carried = new int[pageTokens];
    }

    public void clear() {
        count = 0;
    }

    /**
     * Adds a sequence.
     *
     * @param heldTokens tokens whose keys and values it holds, or will hold before anything is drawn
     * @param leftTokens how many more it may come to hold
     */
    public void add(int heldTokens, int leftTokens) {
        if (count == held.length) {
            held = Arrays.copyOf(held, count * 2);
            left = Arrays.copyOf(left, count * 2);
        }
        int at = count++;
        while (at > 0 && left[at - 1] < leftTokens) {
            held[at] = held[at - 1];
            left[at] = left[at - 1];
            at--;
        }
        held[at] = heldTokens;
        left[at] = leftTokens;
    }

    /** The peak of the sequences added. */
    public long pages() {
        return peak(0, 0, false);
    }

    /** The peak if one more were added. */
    public long pagesWith(int heldTokens, int leftTokens) {
        return peak(heldTokens, leftTokens, true);
    }

    private long peak(int extraHeld, int extraLeft, boolean extra) {
        Arrays.fill(carried, 0);
        long peak = 0;
        long quotients = 0;
        int alive = 0;
        boolean pending = extra;
        for (int i = 0; i < count || pending; ) {
            boolean takeExtra = pending && (i == count || extraLeft >= left[i]);
            int itsHeld = takeExtra ? extraHeld : held[i];
            int itsLeft = takeExtra ? extraLeft : left[i];
            if (takeExtra) {
                pending = false;
            } else {
                i++;
            }
            int roundedUp = itsHeld + pageTokens - 1;
            quotients += roundedUp / pageTokens;
            carried[roundedUp % pageTokens]++;
            alive++;
            long need = quotients + (long) alive * (itsLeft / pageTokens);
            for (int r = pageTokens - itsLeft % pageTokens; r < pageTokens; r++) {
                need += carried[r];
            }
            peak = Math.max(peak, need);
        }
        return peak;
    }
}
