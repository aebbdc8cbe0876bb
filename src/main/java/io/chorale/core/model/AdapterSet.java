package io.chorale.core.model;

import java.util.Arrays;

/**
 * The adapters that one request uses together, each with a factor on its own scale; empty for the base model.
 *
 * @param versions adapter versions (what a name pointed to when the request came), ascending, no version twice
 * @param scales same length; 1 for a plain request
 */
public record AdapterSet(int[] versions, float[] scales) {
    public static final AdapterSet BASE = new AdapterSet(new int[0], new float[0]);

    public AdapterSet {
        Check.argument(versions.length == scales.length, () -> "adapter versions and scales differ in number");
        for (int i = 1; i < versions.length; i++) {
            int at = i;
            Check.argument(versions[i - 1] < versions[i], () -> "adapter versions must ascend at " + at);
        }
        for (float scale : scales) {
            Check.argument(Float.isFinite(scale), () -> "an adapter's scale must be finite");
        }
    }

    public static AdapterSet of(int version) {
        return new AdapterSet(new int[] {version}, new float[] {1});
    }

    public boolean has(int version) {
        return Arrays.binarySearch(versions, version) >= 0;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof AdapterSet that
                && Arrays.equals(versions, that.versions)
                && Arrays.equals(scales, that.scales);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(versions) + Arrays.hashCode(scales);
    }
}
