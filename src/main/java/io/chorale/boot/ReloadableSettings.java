package io.chorale.boot;

import io.chorale.access.AdapterScope;
import io.chorale.access.Identity;
import io.chorale.access.Keyring;
import io.chorale.config.AdapterSettings;
import io.chorale.config.AdmissionSettings;
import io.chorale.config.KeySettings;
import io.chorale.config.ObjectiveSettings;
import io.chorale.config.TenantSettings;
import io.chorale.core.admission.TenantTerms;
import io.chorale.core.policy.PolicySettings;
import jakarta.inject.Inject;
import jakarta.inject.Singleton;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The settings that may change while the server runs: limits, quotas, objectives and keys. */
@Singleton
public class ReloadableSettings {
    static final String ADMIN_KEY = "chorale.adapters.admin-key";
    private static final int REQUESTS_MAX = 1 << 24;

    private final AdmissionSettings admission;
    private final TenantSettings tenants;
    private final KeySettings keys;
    private final ObjectiveSettings objectives;
    private final Optional<String> adminKey;

    @Inject
    ReloadableSettings(
            AdmissionSettings admission,
            TenantSettings tenants,
            KeySettings keys,
            ObjectiveSettings objectives,
            AdapterSettings adapters) {
        this(admission, tenants, keys, objectives, adapters.adminKey());
    }

    ReloadableSettings(
            AdmissionSettings admission,
            TenantSettings tenants,
            KeySettings keys,
            ObjectiveSettings objectives,
            Optional<String> adminKey) {
        this.admission = admission;
        this.tenants = tenants;
        this.keys = keys;
        this.objectives = objectives;
        this.adminKey = adminKey;
    }

    AdmissionSettings admission() {
        return admission;
    }

    TenantSettings tenants() {
        return tenants;
    }

    ObjectiveSettings objectives() {
        return objectives;
    }

    /** Every key, by the setting that it stands in. */
    private record Given(String setting, Keyring.Entry entry) {}

    List<Keyring.Entry> keys() {
        return given().stream().map(Given::entry).toList();
    }

    private List<Given> given() {
        List<Given> given = new ArrayList<>();
        adminKey.ifPresent(key -> given.add(new Given(
                ADMIN_KEY,
                new Keyring.Entry(
                        key, new Identity("admin-key", TenantTerms.DEFAULT_TENANT, false, true, AdapterScope.ALL)))));
        tenants.byName().forEach((name, tenant) -> {
            int number = 0;
            for (String key : tenant.keys().orElse(List.of())) {
                Identity holder = new Identity(name + "/" + ++number, name, tenant.trusted(), false, AdapterScope.ALL);
                given.add(new Given("chorale.tenants." + name + ".keys", new Keyring.Entry(key, holder)));
            }
        });
        keys.byId().forEach((id, key) -> {
            TenantSettings.Tenant tenant = tenants.byName().get(key.tenant());
            boolean trusted = tenant != null && tenant.trusted();
            AdapterScope scope =
                    key.adapters().<AdapterScope>map(AdapterScope.Only::new).orElse(AdapterScope.ALL);
            Identity holder = new Identity(id, key.tenant(), trusted, key.admin(), scope);
            given.add(new Given(
                    "chorale.keys." + id + ".key", new Keyring.Entry(key.key().orElse(""), holder)));
        });
        return given;
    }

    /** What is wrong with them; no message repeats a key. */
    List<String> problems() {
        SettingProblems problems = new SettingProblems();
        problems.range("chorale.admission.requests-max", admission.requestsMax(), 1, REQUESTS_MAX);
        problems.range("chorale.admission.queue-requests-max", admission.queueRequestsMax(), 1, REQUESTS_MAX);
        problems.range("chorale.admission.queue-tokens-max", admission.queueTokensMax(), 1, Long.MAX_VALUE);
        tenants.byName().forEach((name, tenant) -> checkTenant(name, tenant, problems));
        checkKeys(problems);
        objectives.byClass().forEach((priority, bounds) -> {
            String key = "chorale.objectives." + PolicySettings.nameOf(priority);
            bounds.ttft().ifPresent(ttft -> problems.positive(key + ".ttft", ttft));
            problems.positive(key + ".ttft-min", bounds.ttftMin());
            problems.check(
                    bounds.ttftMax().compareTo(bounds.ttftMin()) >= 0,
                    key + ".ttft-max",
                    bounds.ttftMax(),
                    "must not be less than ttft-min = " + bounds.ttftMin());
        });
        return problems.sentences();
    }

    private static void checkTenant(String name, TenantSettings.Tenant tenant, SettingProblems problems) {
        String key = "chorale.tenants." + name;
        problems.above0(key + ".weight", tenant.weight());
        tenant.requestsPerSecond().ifPresent(rate -> problems.above0(key + ".requests-per-second", rate));
        tenant.tokensPerSecond().ifPresent(rate -> problems.above0(key + ".tokens-per-second", rate));
        problems.above0(key + ".burst-seconds", tenant.burstSeconds());
        tenant.concurrencyMax().ifPresent(most -> problems.range(key + ".concurrency-max", most, 1, REQUESTS_MAX));
        double share = tenant.queueShare();
        problems.check(share > 0 && share <= 1, key + ".queue-share", share, "must be above 0 and at most 1");
    }

    /** A key says who asks, so it is one holder's. */
    private void checkKeys(SettingProblems problems) {
        Map<String, String> settings = new LinkedHashMap<>();
        for (Given one : given()) {
            boolean usable = Keyring.isUsable(one.entry().key());
            problems.check(
                    usable, one.setting(), "...", "a key must not be blank, and a digest is sha256: and 64 digits");
            if (usable) {
                String before =
                        settings.putIfAbsent(Keyring.digestOf(one.entry().key()), one.setting());
                problems.check(before == null, one.setting(), "...", "one of the keys is also one of " + before);
            }
            Identity holder = one.entry().holder();
            problems.check(
                    !holder.admin() || holder.adapters() == AdapterScope.ALL,
                    "chorale.keys." + holder.id() + ".adapters",
                    holder.adapters(),
                    "an administrator's key cannot be limited to adapters");
        }
    }
}
