package io.chorale.serving;

import io.chorale.core.admission.TenantTerms;
import io.chorale.core.model.Check;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Who may ask, and as whom: API keys, the tenants that they stand for, and those that a trusted gateway names. Bounded:
 * beyond {@link #TENANTS_MAX} names share one tenant. Without keys everybody is the tenant {@code default}. Any thread.
 */
public final class Tenants {
    public static final int TENANTS_MAX = 10_000;
    public static final String DEFAULT = "default";
    private static final String OTHERS = "others";

    /**
     * One of the configured tenants.
     *
     * @param keys that its clients send
     * @param trusted whether its clients may name another tenant for whom they ask: gateways
     */
    public record Member(String name, List<String> keys, boolean trusted, TenantTerms terms) {}

    /** Who asks, by its key. */
    public record Caller(Tenant tenant, boolean trusted) {}

    private final LongSupplier clock;
    private final Map<String, Tenant> byName = new ConcurrentHashMap<>();
    private final Map<String, Caller> byKeyDigest = new ConcurrentHashMap<>();
    private final AtomicReferenceArray<@Nullable Tenant> byIndex = new AtomicReferenceArray<>(TENANTS_MAX + 1);
    private final AtomicInteger count = new AtomicInteger();
    private final Tenant usual;
    private final Tenant others;

    /** @param members may name {@code default}, whose terms are those of everybody who is not named */
    public Tenants(List<Member> members, LongSupplier clock) {
        Check.argument(members.size() < TENANTS_MAX, () -> "more than " + TENANTS_MAX + " tenants are configured");
        this.clock = clock;
        TenantTerms usualTerms = members.stream()
                .filter(member -> member.name().equals(DEFAULT))
                .map(Member::terms)
                .findFirst()
                .orElse(TenantTerms.USUAL);
        usual = add(DEFAULT, usualTerms);
        others = new Tenant(TENANTS_MAX, OTHERS, usualTerms, clock.getAsLong());
        byIndex.set(TENANTS_MAX, others);
        for (Member member : members) {
            Tenant tenant = member.name().equals(DEFAULT) ? usual : add(member.name(), member.terms());
            for (String key : member.keys()) {
                Caller before = byKeyDigest.put(digest(key), new Caller(tenant, member.trusted()));
                Check.argument(before == null, () -> "a key of tenant " + member.name() + " is another tenant's too");
            }
        }
    }

    /** One tenant for everybody, on the usual terms. */
    public static Tenants single(LongSupplier clock) {
        return new Tenants(List.of(), clock);
    }

    private Tenant add(String name, TenantTerms terms) {
        int index = count.getAndIncrement();
        Tenant tenant = new Tenant(index, name, terms, clock.getAsLong());
        byIndex.set(index, tenant);
        byName.put(name, tenant);
        return tenant;
    }

    /** Whether a request without a valid key is turned away. */
    public boolean wantsKeys() {
        return !byKeyDigest.isEmpty();
    }

    public Caller withoutKey() {
        return new Caller(usual, false);
    }

    public Optional<Caller> withKey(String key) {
        return Optional.ofNullable(byKeyDigest.get(digest(key)));
    }

    /** The tenant that a trusted caller names; one that nobody configured has the caller's terms. */
    public Tenant named(String name, Tenant caller) {
        Tenant known = byName.get(name);
        if (known != null || count.get() >= TENANTS_MAX) {
            return known == null ? others : known;
        }
        synchronized (byName) {
            known = byName.get(name);
            if (known != null || count.get() >= TENANTS_MAX) {
                return known == null ? others : known;
            }
            return add(name, caller.terms());
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

    /** Keys are looked up by digest, so that neither memory nor timing gives them away. */
    private static String digest(String key) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
    }
}
