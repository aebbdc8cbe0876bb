package io.chorale.core.policy;

/** The wish for one adapter, made once for as long as it is the same. */
final class MergeWish {
    private final boolean mixture;
    private WeightMode.Merged last;

    MergeWish(boolean mixture) {
        this.mixture = mixture;
        last = new WeightMode.Merged(-1, mixture);
    }

    WeightMode of(int version) {
        if (last.version() != version) {
            last = new WeightMode.Merged(version, mixture);
        }
        return last;
    }
}
