package io.chorale.core.memory;

import io.chorale.core.model.AdapterSet;
import org.jspecify.annotations.Nullable;

/**
 * Among whom cached pages are shared. The same tokens have the same keys and values only under the same adapters, and from
 * the same token on; and nobody finds out from how fast an answer comes what another tenant has asked.
 */
public final class PrefixScope {
    private final int tenant;
    private final long salt;
    private final AdapterSet adapters;
    private final int activeFrom;
    private final int hash;

    /**
     * @param salt separates requests of a tenant
     * @param adapters in use, by version
     * @param activeFrom the first token that they act on
     */
    public PrefixScope(int tenant, long salt, AdapterSet adapters, int activeFrom) {
        this.tenant = tenant;
        this.salt = salt;
        this.adapters = adapters;
        this.activeFrom = activeFrom;
        hash = 31 * (31 * (31 * tenant + Long.hashCode(salt)) + adapters.hashCode()) + activeFrom;
    }

    /** Whether an adapter version acts in it. */
    boolean has(int version) {
        return adapters.has(version);
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return this == other
                || (other instanceof PrefixScope that
                        && hash == that.hash
                        && tenant == that.tenant
                        && salt == that.salt
                        && activeFrom == that.activeFrom
                        && adapters.equals(that.adapters));
    }

    @Override
    public int hashCode() {
        return hash;
    }

    @Override
    public String toString() {
        return "tenant " + tenant + ", salt " + salt + ", " + adapters + " from token " + activeFrom;
    }
}
