package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.admission.Quota;
import io.chorale.core.admission.TenantTerms;
import io.chorale.core.model.Priority;
import java.util.List;
import org.junit.jupiter.api.Test;

class TenantsTest {
    private static final long SECOND = 1_000_000_000L;

    private static Tenants.Member member(String name, Quota quota) {
        return new Tenants.Member(name, new TenantTerms(2, Priority.HIGH, quota));
    }

    private static Tenant tenant(Quota quota) {
        return new Tenant(0, "t", new TenantTerms(1, Priority.NORMAL, quota), null, 0);
    }

    @Test
    void shouldHaveOneTenantWhereNobodySaysMore() {
        Tenants tenants = Tenants.single(() -> 0);
        assertEquals(
                TenantTerms.DEFAULT_TENANT,
                tenants.of(TenantTerms.DEFAULT_TENANT).name());
        assertEquals(1, tenants.weight(0));
    }

    @Test
    void shouldChangeTermsAndKeepNumbers() {
        long[] now = {0};
        Tenants tenants = new Tenants(
                List.of(member("slow", new Quota(1, 0, 1, 0, 0)), member("gateway", Quota.NONE)), () -> now[0]);
        Tenant slow = tenants.of("slow");
        Tenant customer = tenants.named("customer", tenants.of("gateway"));
        assertEquals(0, slow.chargeRequest(1, 0));
        assertTrue(slow.refusedNanos(0) > 0);

        Quota two = new Quota(2, 0, 1, 0, 0);
        tenants.replace(List.of(member("slow", two), member("gateway", two), member("new", two)));
        assertSame(slow, tenants.of("slow"));
        assertSame(slow, tenants.at(slow.index()));
        assertEquals(0, slow.refusedNanos(0), "what it owed on other terms is forgotten");
        assertEquals(two, customer.terms().quota(), "as its gateway");
        assertEquals(two, tenants.of("new").terms().quota());

        assertEquals(0, slow.chargeRequest(1, 0));
        assertEquals(0, slow.chargeRequest(1, 0));
        tenants.replace(List.of(member("slow", two)));
        assertTrue(slow.refusedNanos(0) > 0, "the same terms change nothing");
        assertEquals(Quota.NONE, customer.terms().quota(), "as the default, for its gateway is");
        assertEquals(1, tenants.weight(tenants.of("new").index()), "nobody speaks of it any more");
    }

    @Test
    void shouldServeWhoIsNotNamedAsTheDefault() {
        Tenants tenants = new Tenants(List.of(member(TenantTerms.DEFAULT_TENANT, Quota.NONE)), () -> 0);
        assertEquals(2, tenants.weight(tenants.of("somebody").index()));
        tenants.replace(List.of());
        assertEquals(1, tenants.weight(tenants.of("somebody").index()));
        assertEquals(1, tenants.weight(tenants.of(TenantTerms.DEFAULT_TENANT).index()));
    }

    @Test
    void shouldBoundTheTenantsThatAGatewayNames() {
        Tenants tenants = new Tenants(List.of(member("gateway", Quota.NONE)), () -> 0);
        Tenant gateway = tenants.of("gateway");
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
