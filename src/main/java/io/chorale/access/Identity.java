package io.chorale.access;

import io.chorale.core.admission.TenantTerms;

/**
 * Who asks, as far as a key or token tells.
 *
 * @param id for logs; never the key itself
 * @param tenant that pays
 * @param trusted whether another tenant may be named for whom is asked: gateways
 * @param admin whether it may change what is served
 * @param adapters that it may use
 */
public record Identity(String id, String tenant, boolean trusted, boolean admin, AdapterScope adapters) {
    /** Who needs no key, where nobody does. */
    public static final Identity ANYBODY = new Identity("", TenantTerms.DEFAULT_TENANT, false, false, AdapterScope.ALL);
}
