package io.chorale.simulate;

import io.chorale.core.policy.PolicySettings;
import io.chorale.workload.RetryRule;

/**
 * What is simulated, besides the workload.
 *
 * @param policies by which each replica's scheduler decides
 * @param policyName of them, for people
 * @param batch the bounds of its steps
 * @param door what it lets in
 * @param retry what clients do that were refused, or given up before their first token
 * @param objectives by which answers are judged, and by which requests are given up where the policy does so
 * @param seed of what is random besides the workload: the clients' jitter
 */
public record SimulationSettings(
        DeviceProfile device,
        PolicySettings policies,
        String policyName,
        Batch batch,
        Door door,
        int replicas,
        Dispatcher dispatcher,
        RetryRule retry,
        Objectives objectives,
        long seed) {

    /**
     * The bounds of a step.
     *
     * @param prefillChunkTokens rows of one prompt in one step
     * @param adaptersMax distinct adapters among the running sequences
     * @param bypassMax requests that may pass one that does not fit
     * @param prefetchMax adapters uploaded ahead of need in one step
     * @param lookAhead 1: the next step is planned while one runs, 0: after it
     */
    public record Batch(int prefillChunkTokens, int adaptersMax, int bypassMax, int prefetchMax, int lookAhead) {
        /** As the server has it. */
        public static final Batch SERVER = new Batch(512, 64, 64, 2, 1);
    }

    /**
     * What a replica lets in. Where the policy gives requests up at all, the door also refuses those that cannot be in time.
     *
     * @param queueRequestsMax requests that may wait
     * @param queueTokensMax tokens that those may want computed
     * @param tenantShare of the places behind the door, running ones included, that one tenant may have
     */
    public record Door(int queueRequestsMax, long queueTokensMax, double tenantShare) {
        /** Lets everybody in. */
        public static final Door OPEN = new Door(Integer.MAX_VALUE, Long.MAX_VALUE, 1);
        /** As the server has it. */
        public static final Door SERVER = new Door(768, 1_000_000, 1);

        public Door withTenantShare(double other) {
            return new Door(queueRequestsMax, queueTokensMax, other);
        }
    }

    /** Bounds on the time to the first token and on the mean gap between tokens of an answer, in seconds. */
    public record Objectives(double ttftSeconds, double tpotSeconds) {}

    public SimulationSettings {
        if (replicas < 1) {
            throw new IllegalArgumentException("at least one replica is needed");
        }
        if (!(objectives.ttftSeconds() > 0 && objectives.tpotSeconds() > 0)) {
            throw new IllegalArgumentException("objectives must be positive");
        }
    }
}
