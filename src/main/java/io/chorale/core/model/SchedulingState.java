package io.chorale.core.model;

/**
 * How scheduling goes, after one step.
 *
 * @param oldestWaitNanos how long the oldest of the waiting requests has waited
 * @param serviceGap the most that a waiting tenant has been served beyond another of its class, in tokens at a price of 1
 * @param tenantsWaiting tenants in line
 * @param tenantsNewestFirst those of them whose next request will go before all of theirs that wait
 * @param adaptersRunning distinct adapters of the running sequences
 * @param merges adapters merged
 * @param mergedSteps steps in which merged weights were used
 * @param stepNanos what a step of the running sequences takes, without prompts, as predicted
 * @param prefillTokenNanos what each token of a prompt adds to it
 * @param admissionNanos time between two admissions, while requests wait
 * @param costError how far predictions of a step's time were off lately, as a share
 */
public record SchedulingState(
        long oldestWaitNanos,
        double serviceGap,
        int tenantsWaiting,
        int[] tenantsNewestFirst,
        int adaptersRunning,
        long merges,
        long mergedSteps,
        long stepNanos,
        long prefillTokenNanos,
        long admissionNanos,
        double costError) {

    public static final SchedulingState IDLE = new SchedulingState(0, 0, 0, new int[0], 0, 0, 0, 0, 0, 0, 0);

    /** Whether a request of a tenant that comes now goes before all of its others. */
    public boolean goesFirst(int tenant) {
        for (int other : tenantsNewestFirst) {
            if (other == tenant) {
                return true;
            }
        }
        return false;
    }
}
