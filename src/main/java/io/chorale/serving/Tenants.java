package io.chorale.serving;

import io.chorale.core.admission.TenantTerms;
import io.chorale.core.model.Check;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.LongSupplier;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Who pays: the tenants that are configured, and those that a trusted gateway names. Bounded: beyond {@link #TENANTS_MAX}
 * names share one tenant. A tenant that was named stays for good, for its number is in requests; its terms may change. Any
 * thread.
 */
public final class Tenants {
    public static final int TENANTS_MAX = 10_000;
    private static final String OTHERS = "others";

    /** One of the configured tenants. */
    public record Member(String name, TenantTerms terms) {}

    /** Visible ASCII: what may stand in a log and a header as it is. */
    private static final Pattern NAME = Pattern.compile("[\\x21-\\x7E]{1,256}");

    private final LongSupplier clock;
    private final Map<String, Tenant> byName = new ConcurrentHashMap<>();
    private final AtomicReferenceArray<@Nullable Tenant> byIndex = new AtomicReferenceArray<>(TENANTS_MAX + 1);
    private final AtomicInteger count = new AtomicInteger();
    private final Tenant usual;
    private final Tenant others;

    /** @param members may name {@code default}, whose terms are those of everybody who is not named */
    public Tenants(List<Member> members, LongSupplier clock) {
        this.clock = clock;
        usual = add(TenantTerms.DEFAULT_TENANT, TenantTerms.USUAL, null);
        others = new Tenant(TENANTS_MAX, OTHERS, TenantTerms.USUAL, null, clock.getAsLong());
        byIndex.set(TENANTS_MAX, others);
        replace(members);
    }

    /** Whether a gateway or a token may name somebody like this. */
    public static boolean isName(String name) {
        return NAME.matcher(name).matches();
    }

    /** One tenant for everybody, on the usual terms. */
    public static Tenants single(LongSupplier clock) {
        return new Tenants(List.of(), clock);
    }

    /** From now on these are the configured tenants: who is not among them any more is served as {@code default} is. */
    public synchronized void replace(List<Member> members) {
        Check.argument(members.size() < TENANTS_MAX, () -> "more than " + TENANTS_MAX + " tenants are configured");
        TenantTerms usualTerms = members.stream()
                .filter(member -> member.name().equals(TenantTerms.DEFAULT_TENANT))
                .map(Member::terms)
                .findFirst()
                .orElse(TenantTerms.USUAL);
        List<String> named = members.stream().map(Member::name).toList();
        long now = clock.getAsLong();
        usual.serveOn(usualTerms, now);
        others.serveOn(usualTerms, now);
        for (Member member : members) {
            Tenant known = byName.get(member.name());
            if (known != null) {
                known.serveOn(member.terms(), now);
            } else if (count.get() < TENANTS_MAX) {
                add(member.name(), member.terms(), null);
            }
        }
        for (Tenant tenant : byName.values()) {
            if (!named.contains(tenant.name()) && tenant != usual) {
                Tenant gateway = tenant.namedBy();
                tenant.serveOn(gateway == null ? usualTerms : gateway.terms(), now);
            }
        }
    }

    private Tenant add(String name, TenantTerms terms, @Nullable Tenant namedBy) {
        int index = count.getAndIncrement();
        Tenant tenant = new Tenant(index, name, terms, namedBy, clock.getAsLong());
        byIndex.set(index, tenant);
        byName.put(name, tenant);
        return tenant;
    }

    /** The tenant that a key or token says; one that nobody configured has the usual terms. */
    public Tenant of(String name) {
        return named(name, usual);
    }

    /** The tenant that a trusted caller names; one that nobody configured has the caller's terms. */
    public Tenant named(String name, Tenant caller) {
        Tenant known = byName.get(name);
        if (known != null || count.get() >= TENANTS_MAX) {
            return known == null ? others : known;
        }
        synchronized (this) {
            known = byName.get(name);
            if (known != null || count.get() >= TENANTS_MAX) {
                return known == null ? others : known;
            }
            return add(name, caller.terms(), caller);
        }
    }

    Tenant at(int index) {
        Tenant tenant = byIndex.get(index);
        if (tenant == null) {
            throw new IllegalArgumentException("there is no tenant " + index);
        }
        return tenant;
    }

    /** What others are compared with when service is shared out. */
    public double weight(int index) {
        return at(index).terms().weight();
    }
}
