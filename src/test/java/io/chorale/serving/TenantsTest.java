package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.admission.Quota;
import io.chorale.core.admission.TenantTerms;
import io.chorale.core.model.Priority;
import java.util.List;
import org.junit.jupiter.api.Test;

class TenantsTest {
    private static final long SECOND = 1_000_000_000L;

    private static Tenants.Member member(String name, boolean trusted, Quota quota, String... keys) {
        return new Tenants.Member(name, List.of(keys), trusted, new TenantTerms(2, Priority.HIGH, quota));
    }

    private static Tenant tenant(Quota quota) {
        return new Tenant(0, "t", new TenantTerms(1, Priority.NORMAL, quota), 0);
    }

    @Test
    void shouldKnowEverybodyAsDefaultWithoutKeys() {
        Tenants tenants = Tenants.single(() -> 0);
        assertFalse(tenants.wantsKeys());
        assertEquals(Tenants.DEFAULT, tenants.withoutKey().tenant().name());
        assertEquals(1, tenants.weight(0));
    }

    @Test
    void shouldFindTenantsByKeyOnly() {
        Tenants tenants = new Tenants(
                List.of(member("a", false, Quota.NONE, "k1", "k2"), member("b", true, Quota.NONE, "k3")), () -> 0);
        assertTrue(tenants.wantsKeys());
        assertEquals("a", tenants.withKey("k2").orElseThrow().tenant().name());
        assertTrue(tenants.withKey("k3").orElseThrow().trusted());
        assertTrue(tenants.withKey("k4").isEmpty());
        assertTrue(tenants.withKey("").isEmpty());
        assertEquals(
                2, tenants.weight(tenants.withKey("k1").orElseThrow().tenant().index()));
    }

    @Test
    void shouldRefuseAKeyOfTwoTenants() {
        assertThrows(
                IllegalArgumentException.class,
                () -> new Tenants(
                        List.of(member("a", false, Quota.NONE, "k"), member("b", false, Quota.NONE, "k")), () -> 0));
    }

    @Test
    void shouldBoundTheTenantsThatAGatewayNames() {
        Tenants tenants = new Tenants(List.of(member("gateway", true, Quota.NONE, "k")), () -> 0);
        Tenant gateway = tenants.withKey("k").orElseThrow().tenant();
        Tenant first = tenants.named("customer-0", gateway);
        assertSame(first, tenants.named("customer-0", gateway));
        assertSame(gateway.terms(), first.terms());
        for (int i = 1; i < Tenants.TENANTS_MAX + 100; i++) {
            tenants.named("customer-" + i, gateway);
        }
        Tenant late = tenants.named("too late", gateway);
        assertSame(late, tenants.named("later still", gateway));
        assertSame(late, tenants.at(late.index()));
        assertNotSame(first, late);
        assertSame(first, tenants.named("customer-0", gateway));
    }

    @Test
    void shouldRefuseRequestsBeyondTheRateForAsLongAsItSays() {
        Tenant tenant = tenant(new Quota(2, 0, 1, 0, 0)); // two a second, two at once
        assertEquals(0, tenant.chargeRequest(5, 0));
        assertEquals(0, tenant.chargeRequest(5, 0));
        long wait = tenant.chargeRequest(5, 0);
        assertEquals(SECOND / 2, wait, 1);
        assertEquals(wait, tenant.refusedNanos(0), 1);
        assertEquals(0, tenant.refusedNanos(wait));
        assertTrue(tenant.chargeRequest(5, wait - 10) > 0, "a moment too early");
        assertEquals(0, tenant.chargeRequest(5, wait));
    }

    @Test
    void shouldRefuseWhileTokensAreOwed() {
        Tenant tenant = tenant(new Quota(0, 100, 1, 0, 0));
        assertEquals(0, tenant.chargeRequest(60, 0));
        for (int i = 0; i < 140; i++) {
            tenant.chargeToken(0); // an answer longer than what was left
        }
        long wait = tenant.chargeRequest(1, 0);
        assertEquals(1.01 * SECOND, wait, 1e6); // 100 owed and one to begin with
        assertEquals(0, tenant.chargeRequest(1, wait));
    }

    @Test
    void shouldLeaveNoTraceOfARefusedRequest() {
        Tenant tenant = tenant(new Quota(1, 10, 1, 3, 0));
        assertEquals(0, tenant.chargeRequest(5, 0));
        long before = tenant.refusedNanos(0);
        for (int i = 0; i < 100; i++) {
            assertTrue(tenant.chargeRequest(1_000, 0) > 0);
            assertTrue(tenant.takePlaces(3, 3));
            assertFalse(tenant.takePlaces(1, 3));
            tenant.freePlaces(3);
        }
        assertEquals(before, tenant.refusedNanos(0));
        assertEquals(0, tenant.placesTaken());
    }

    @Test
    void shouldTakeTheSmallerOfShareAndConcurrency() {
        assertEquals(100, Quota.NONE.placesMax(100));
        assertEquals(25, new Quota(0, 0, 1, 0, 0.25).placesMax(100));
        assertEquals(7, new Quota(0, 0, 1, 7, 0.25).placesMax(100));
        assertEquals(1, new Quota(0, 0, 1, 0, 0.001).placesMax(100));
    }
}
