package io.chorale.core.admission;

import io.chorale.core.model.Check;
import io.chorale.core.model.Priority;

/**
 * How a tenant is served.
 *
 * @param weight with twice the weight it is served twice as much as others who wait
 * @param priority the best class that its requests may have
 */
public record TenantTerms(double weight, Priority priority, Quota quota) {
    /** The tenant of those of whom nothing is known; its terms are those of everybody whom no setting names. */
    public static final String DEFAULT_TENANT = "default";

    public static final TenantTerms USUAL = new TenantTerms(1, Priority.NORMAL, Quota.NONE);

    public TenantTerms {
        Check.argument(weight > 0, () -> "a weight must be positive");
    }
}
