package io.chorale.simulate;

import java.util.List;
import java.util.Locale;

/** To which replica a request goes. */
public enum Dispatcher {
    /** To each in turn. */
    ROUND_ROBIN {
        @Override
        int choose(List<Replica> replicas, long requests) {
            return (int) (requests % replicas.size());
        }
    },
    /** To the one with the fewest tokens still to compute for requests that it has. */
    LEAST_LOAD {
        @Override
        int choose(List<Replica> replicas, long requests) {
            int least = 0;
            for (int i = 1; i < replicas.size(); i++) {
                if (replicas.get(i).tokensLeft() < replicas.get(least).tokensLeft()) {
                    least = i;
                }
            }
            return least;
        }
    };

    /** @param requests how many were dispatched before */
    abstract int choose(List<Replica> replicas, long requests);

    /** As it is written in flags: {@code least-load}. */
    public String flag() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
