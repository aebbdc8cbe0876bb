package io.chorale.core.policy;

import java.util.Arrays;

/**
 * What the running sequences would like of a step, by adapter: what a {@link WeightModePolicy} decides from. Reused; one
 * row a sequence, since prefill comes and goes and merging has to pay over many steps.
 *
 * <p>Adapters are listed that a running sequence uses alone and at its own scale: only those can be merged.
 */
public final class BatchDemand {
    /** Requests, running and waiting. */
    public int requests;
    /** Of them may run at once. */
    public int runningMax;
    /** The step in which nothing is merged. */
    public final StepShape unmerged = new StepShape();
    /** The longest that merged steps have held back a flow, beyond what it held back others. */
    public long creditNanosMax;
    /** Whether somebody waits because pages are short. */
    public boolean pagesShort;

    public int pageCount;

    public int adapterCount;
    public int[] version = new int[16];
    /** Running sequences of the adapter. */
    public int[] running = new int[16];
    /** Its requests, running and waiting. */
    public int[] wanted = new int[16];

    public int[] pages = new int[16];
    /** Tokens that its running sequences draw at most. */
    public long[] tokensLeft = new long[16];

    public void clear() {
        unmerged.clear();
        adapterCount = 0;
        creditNanosMax = 0;
        pagesShort = false;
    }

    /** Adds an adapter and returns its index. */
    public int add(int adapterVersion, int adapterPages, int requestsWanting) {
        int i = adapterCount++;
        if (i == version.length) {
            version = Arrays.copyOf(version, 2 * i);
            running = Arrays.copyOf(running, 2 * i);
            wanted = Arrays.copyOf(wanted, 2 * i);
            pages = Arrays.copyOf(pages, 2 * i);
            tokensLeft = Arrays.copyOf(tokensLeft, 2 * i);
        }
        version[i] = adapterVersion;
        pages[i] = adapterPages;
        wanted[i] = requestsWanting;
        running[i] = 0;
        tokensLeft[i] = 0;
        return i;
    }

    public int sequences() {
        return unmerged.rows;
    }

    /** Of the running sequences, as many as one step has place for. */
    public int rowsPlaced() {
        return Math.min(unmerged.rows, runningMax);
    }

    /** Rows of a step of this adapter alone. */
    public int rowsAlone(int adapter) {
        return Math.min(wanted[adapter], runningMax);
    }

    /** The index of a version, or -1 when no running sequence uses it alone. */
    public int indexOf(int adapterVersion) {
        for (int i = 0; i < adapterCount; i++) {
            if (version[i] == adapterVersion) {
                return i;
            }
        }
        return -1;
    }

    /** The adapter that most requests want, ties by order of admission; -1 when none can be merged. */
    public int mostWanted() {
        int most = -1;
        for (int i = 0; i < adapterCount; i++) {
            if (most < 0 || wanted[i] > wanted[most]) {
                most = i;
            }
        }
        return most;
    }

    /** The adapter that most running sequences use, ties by order of admission; -1 when none can be merged. */
    public int mostRunning() {
        int most = -1;
        for (int i = 0; i < adapterCount; i++) {
            if (most < 0 || running[i] > running[most]) {
                most = i;
            }
        }
        return most;
    }
}
