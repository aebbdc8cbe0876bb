package io.chorale.core.policy;

/**
 * Whether more comes from a tenant than can be served in time. In order of arrival everybody would be served just before
 * the objective then; newest first, as many are served, and at once (S-LoRA, appendix B). So its latest request goes first
 * from when one was given up while the line was longer than can be served within the objective, until there is no line.
 * Where somebody waits without an objective, and so would wait for ever, all go in order of arrival.
 */
final class Overload {
    private Overload() {}

    static boolean newestFirst(TenantView tenant) {
        if (tenant.patient() > 0) {
            return false;
        }
        if (tenant.newestFirst() || !tenant.lostSome()) {
            return tenant.newestFirst();
        }
        double lineNanos = (double) tenant.waiting() * tenant.admissionNanos();
        return lineNanos > tenant.firstFlow().head().ttftNanosMax();
    }
}
