package io.chorale.ops;

import io.chorale.core.model.RequestSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * How many requests wait for each adapter version. The serving thread counts, whoever scrapes reads: under a lock that is
 * held for a few instructions, twice a request.
 */
final class AdapterActivity {
    private int[] waiting = new int[64];

    synchronized void accepted(RequestSpec spec) {
        for (int version : spec.adapters().versions()) {
            if (version >= waiting.length) {
                waiting = Arrays.copyOf(waiting, Math.max(version + 1, waiting.length * 2));
            }
            waiting[version]++;
        }
    }

    /** It has started, or has ended without. */
    synchronized void waitsNoMore(RequestSpec spec) {
        for (int version : spec.adapters().versions()) {
            waiting[version]--;
        }
    }

    /** Versions that a request waits for. */
    synchronized List<Integer> waitingVersions() {
        List<Integer> versions = new ArrayList<>();
        for (int version = 0; version < waiting.length; version++) {
            if (waiting[version] > 0) {
                versions.add(version);
            }
        }
        return versions;
    }
}
