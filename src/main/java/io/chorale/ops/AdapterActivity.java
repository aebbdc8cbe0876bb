package io.chorale.ops;

import io.chorale.core.model.RequestSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * How many requests wait for and run on each adapter version. The serving thread counts, whoever scrapes reads: under a
 * lock that is held for a few instructions, a few times a request.
 */
final class AdapterActivity {
    private int[] waiting = new int[64];
    private int[] running = new int[64];

    synchronized void accepted(RequestSpec spec) {
        for (int version : spec.adapters().versions()) {
            if (version >= waiting.length) {
                int length = Math.max(version + 1, waiting.length * 2);
                waiting = Arrays.copyOf(waiting, length);
                running = Arrays.copyOf(running, length);
            }
            waiting[version]++;
        }
    }

    synchronized void started(RequestSpec spec) {
        for (int version : spec.adapters().versions()) {
            waiting[version]--;
            running[version]++;
        }
    }

    synchronized void ended(RequestSpec spec, boolean hadStarted) {
        int[] counts = hadStarted ? running : waiting;
        for (int version : spec.adapters().versions()) {
            counts[version]--;
        }
    }

    /** Versions that a request runs on. */
    synchronized List<Integer> runningVersions() {
        return positive(running);
    }

    /** Versions that a request waits for. */
    synchronized List<Integer> waitingVersions() {
        return positive(waiting);
    }

    private static List<Integer> positive(int[] counts) {
        List<Integer> versions = new ArrayList<>();
        for (int version = 0; version < counts.length; version++) {
            if (counts[version] > 0) {
                versions.add(version);
            }
        }
        return versions;
    }
}
