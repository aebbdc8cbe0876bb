package io.chorale.simulate;

import io.chorale.core.admission.AdmissionController;
import io.chorale.core.admission.AdmissionController.Decision;
import io.chorale.core.admission.AdmissionLimits;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.Rejection;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.workload.Workload;
import java.util.Arrays;
import java.util.BitSet;

/**
 * One server: the door, the scheduler and a device that takes the time its costs say. Answers are as long as the workload
 * says; which tokens are drawn does not matter. Every adapter is in host memory when it is first asked for.
 */
final class Replica {
    /** Token ids do not matter, but the scheduler checks that they are in the vocabulary. */
    static final int VOCAB = 2;

    static final int TOKEN = 1;

    private static final long RETRY_NANOS = 1_000_000_000L;
    private static final Decision TENANT_BUSY = new Decision.Reject(
            Rejection.TENANT_BUSY, RETRY_NANOS, "as many requests of the tenant are here as may be");

    private final Scheduler scheduler;
    private final AdmissionController door;
    private final PlanTimer timer;
    private final DeviceProfile device;
    private final Workload workload;
    private final int lookAhead;
    private final StepOutcome outcome = new StepOutcome();

    // Steps in flight, oldest first.
    private final long[] endNanos = new long[2];
    private final long[] stepId = new long[2];
    private final int[] samples = new int[2];
    private final long[] stepNanos = new long[2];
    private final boolean[] merged = new boolean[2];
    private int inFlight;
    private long busyUntil;

    private LoadSnapshot snapshot;
    private boolean snapshotOld;
    private int letInSince;
    private long tokensLeft;
    private final long tenantPlacesMax;
    private final int[] tenantPlaces;
    /** Adapters that the scheduler has been told of. */
    private final BitSet known;

    // Since the beginning.
    private long busyNanos;
    private long mergedNanos;
    private long merges;
    private long steps;

    Replica(SimulationSettings settings, Workload workload) {
        this.workload = workload;
        device = settings.device();
        lookAhead = settings.batch().lookAhead();
        int sequencesMax = Math.min(device.sequencesMax(), device.stepTokensMax());
        PoolGeometry geometry = new PoolGeometry(device.pages(), device.pageTokens(), device.slots(), 0);
        SchedulerLimits limits = new SchedulerLimits(
                device.contextMax(),
                VOCAB,
                1,
                device.stepTokensMax(),
                settings.batch().prefillChunkTokens(),
                sequencesMax,
                sequencesMax,
                Math.min(settings.batch().adaptersMax(), device.slots()),
                settings.batch().bypassMax(),
                settings.batch().prefetchMax());
        scheduler = new Scheduler(
                geometry, limits, SchedulerPolicies.of(settings.policies(), new DevicePrediction(device)));
        door = new AdmissionController(new AdmissionLimits(
                sequencesMax,
                settings.door().queueRequestsMax(),
                settings.door().queueTokensMax(),
                device.contextMax(),
                geometry,
                settings.batch().prefillChunkTokens(),
                !settings.door().equals(SimulationSettings.Door.OPEN)
                        && settings.policies().abort().estimate() != PolicySettings.Estimate.NEVER));
        long places = (long) sequencesMax + settings.door().queueRequestsMax();
        tenantPlacesMax = (long) Math.max(1, settings.door().tenantShare() * places);
        tenantPlaces = new int[workload.tenants()];
        timer = new PlanTimer(device.costs(), version -> workload.rank(version - 1), device.slots());
        known = new BitSet(workload.adapters());
        snapshot = scheduler.snapshot();
    }

    // ---- requests -------------------------------------------------------------------------------------------------

    /** What the door says; it does not know of what happens in the step that runs. */
    Decision ask(RequestSpec spec) {
        if (snapshotOld) {
            snapshot = scheduler.snapshot();
            snapshotOld = false;
        }
        int ofTenant = tenantPlaces[spec.tenant()];
        if (ofTenant >= tenantPlacesMax) {
            return TENANT_BUSY;
        }
        return door.decide(spec, adapterPages(spec), snapshot, letInSince, ofTenant);
    }

    private int adapterPages(RequestSpec spec) {
        int pages = 0;
        for (int version : spec.adapters().versions()) {
            pages += device.adapterPages(workload.rank(version - 1));
        }
        return pages;
    }

    /** A request that was let in. */
    void submit(RequestSpec spec, long now) {
        letInSince++;
        tenantPlaces[spec.tenant()]++;
        tokensLeft += spec.tokensMax();
        for (int version : spec.adapters().versions()) {
            stage(version);
        }
        scheduler.submit(spec, now);
    }

    /** Adapters that nobody asks for take no memory, however many there are. */
    private void stage(int version) {
        if (!known.get(version - 1)) {
            known.set(version - 1);
            scheduler.adapterReady(version, version, device.adapterPages(workload.rank(version - 1)));
        }
    }

    /** A request that was submitted here has ended, or tokens of it have been answered. */
    void lighten(long tokens) {
        tokensLeft -= tokens;
    }

    /** A request of this tenant has ended here. */
    void freePlace(int tenant) {
        tenantPlaces[tenant]--;
    }

    long tokensLeft() {
        return tokensLeft;
    }

    // ---- time -----------------------------------------------------------------------------------------------------

    /** When its oldest step ends; {@code Long.MAX_VALUE}: nothing runs. */
    long nextNanos() {
        return inFlight == 0 ? Long.MAX_VALUE : endNanos[0];
    }

    /** Takes in the step that has ended by now, if one has, and begins what is to be done next. */
    void turn(long now) {
        if (inFlight > 0 && endNanos[0] <= now) {
            commit(now);
        }
        while (inFlight <= lookAhead) {
            StepPlan plan = scheduler.plan(now);
            if (plan.isEmpty()) {
                break;
            }
            begin(plan, now);
        }
    }

    private void begin(StepPlan plan, long now) {
        long nanos = timer.nanos(plan);
        busyUntil = Math.max(busyUntil, now) + nanos;
        endNanos[inFlight] = busyUntil;
        stepId[inFlight] = plan.stepId;
        samples[inFlight] = plan.sampleCount;
        stepNanos[inFlight] = nanos;
        merged[inFlight] = plan.mergedSlot >= 0;
        inFlight++;
        merges += timer.merges();
        steps++;
    }

    private void commit(long now) {
        outcome.stepId = stepId[0];
        outcome.sampleCount = samples[0];
        if (outcome.tokenIds.length < samples[0]) {
            outcome.tokenIds = new int[2 * samples[0]];
            Arrays.fill(outcome.tokenIds, TOKEN);
            outcome.logProbs = new float[2 * samples[0]];
            outcome.topStart = new int[2 * samples[0] + 1];
        }
        outcome.phaseNanos[1] = stepNanos[0];
        outcome.phaseNanos[3] = stepNanos[0];
        busyNanos += stepNanos[0];
        mergedNanos += merged[0] ? stepNanos[0] : 0;
        inFlight--;
        endNanos[0] = endNanos[1];
        stepId[0] = stepId[1];
        samples[0] = samples[1];
        stepNanos[0] = stepNanos[1];
        merged[0] = merged[1];
        scheduler.commit(outcome, now);
        snapshotOld = true;
        letInSince = 0;
    }

    void drainEvents(EventBatch into) {
        scheduler.drainEvents(into);
    }

    /** Requests wait or run, but there is no step that could bring them on. */
    boolean stalled() {
        return inFlight == 0 && !scheduler.isIdle();
    }

    LoadSnapshot snapshot() {
        return scheduler.snapshot();
    }

    long busyNanos() {
        return busyNanos;
    }

    long mergedNanos() {
        return mergedNanos;
    }

    long merges() {
        return merges;
    }

    long steps() {
        return steps;
    }
}
