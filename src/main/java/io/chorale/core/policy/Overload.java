package io.chorale.core.policy;

/**
 * Whether more comes from a tenant than can be served in time. In order of arrival everybody would be served just before
 * the objective then; newest first, as many are served, and at once (S-LoRA, appendix B). So its latest request goes first,
 * until there is no line, from when the line is longer than can be served within the objective and that is sure: one was given
 * up, or the line is longer by more than its pace is misjudged, so that those at its end will be. Where somebody waits
 * without an objective, and so would wait for ever, all go in order of arrival.
 */
final class Overload {
    /** By how much a line must be too long before anybody was given up. */
    private static final double MARGIN = 1.3;
    /** By how much a line must be too long before somebody is given up for its length: its pace is that of few admissions. */
    private static final double REACH = 3;

    private Overload() {}

    static boolean newestFirst(TenantView tenant) {
        if (tenant.patient() > 0) {
            return false;
        }
        if (tenant.newestFirst()) {
            return true;
        }
        double lineNanos = (double) tenant.waiting() * tenant.admissionNanos();
        long objective = tenant.firstFlow().head().ttftNanosMax();
        return lineNanos > (tenant.lostSome() ? objective : MARGIN * objective);
    }

    /** Whether one before whom so many stand may have its turn in time, if nobody comes any more. */
    static boolean mayReach(TenantView tenant, long before, long nanosLeft) {
        return (double) before * tenant.admissionNanos() <= REACH * nanosLeft;
    }
}
