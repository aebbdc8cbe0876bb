package io.chorale.engine.sim;

import io.chorale.core.model.Check;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.policy.StepShape;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.EngineFault.Kind;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.sim.SimulatedPages.PageViolation;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;

/**
 * An engine without a model: answers come from a {@link SimulatedModel}, durations from a cost model, and every plan is
 * checked against what the pages really hold. A plan that reads what is not its own ends the run with a {@link
 * PageViolation}; a step that depends on one that failed, begun before that was known, fails too, as on a real engine.
 */
public final class SimulatedEngine implements Engine {
    private static final int STEPS_IN_FLIGHT_MAX = 2;
    private static final float DRAWN_LOGPROB = -0.25f;
    private static final int[] NO_PAGES = {};

    /** What a simulated engine is made of. */
    public record Settings(
            EngineSpec spec, SimulatedModel model, StepCostModel costs, SimClock clock, FaultPlan faults) {}

    private final Settings settings;
    private final EngineSpec spec;
    private final SimulatedPages pages;
    private final AtomicLong lastHandle = new AtomicLong();
    private final Map<Long, String> stagedNames = new ConcurrentHashMap<>();
    private final LongAdder stagedBytes = new LongAdder();

    // Of each adapter slot.
    private final long[] slotHandle;
    private final String[] slotName;
    private final int[][] slotPages;
    private int mergedSlot = -1;
    private final StepShape shape = new StepShape();
    /** Of each adapter slot: the last of the steps, counted here, whose rows used it. */
    private final long[] usedInStep;

    private long stepsWith;

    /** Of each scratch slot: tokens counted since it was reset. */
    private final int[] counted;

    /** One more than can be in flight: an outcome stays valid while the next step begins. */
    private final StepOutcome[] outcomes = {new StepOutcome(), new StepOutcome(), new StepOutcome()};

    private final long[] endNanos = new long[outcomes.length];
    private int begun;
    private int awaited;
    private long endedStep = -1;
    private long busyUntil;
    private boolean dead;

    public SimulatedEngine(Settings settings) {
        this.settings = settings;
        spec = settings.spec();
        pages = new SimulatedPages(spec.pageCount(), spec.pageTokens());
        slotHandle = new long[spec.slotsMax()];
        slotName = new String[spec.slotsMax()];
        Arrays.fill(slotName, "");
        slotPages = new int[spec.slotsMax()][];
        usedInStep = new long[spec.slotsMax()];
        Arrays.fill(slotPages, NO_PAGES);
        counted = new int[spec.scratchMax()];
    }

    /** A specification for tests and demonstrations: only the bounds matter. */
    public static EngineSpec spec(int pageCount, int pageTokens, int vocab, int contextMax, int slotsMax) {
        long pageBytes = 1 << 20;
        return new EngineSpec(
                "simulated",
                "simulated device",
                pageCount,
                pageTokens,
                pageBytes,
                8,
                vocab,
                contextMax,
                slotsMax,
                64,
                4096,
                512,
                512,
                1,
                Float.BYTES);
    }

    @Override
    public EngineSpec spec() {
        return spec;
    }

    // ---- adapters on the host -------------------------------------------------------------------------------------

    @Override
    public StagedAdapter stage(AdapterWeights weights) {
        if (settings.faults().stageFails(weights.name())) {
            throw new EngineFault(Kind.REJECTED_INPUT, "adapter " + weights.name() + " does not fit the base model");
        }
        long handle = lastHandle.incrementAndGet();
        stagedNames.put(handle, weights.name());
        int pageCount = (int) Math.max(1, Math.ceilDiv(weights.weightBytes(), spec.pageBytes()));
        stagedBytes.add(weights.weightBytes());
        return new StagedAdapter(handle, pageCount, weights.weightBytes());
    }

    @Override
    public void release(StagedAdapter adapter) {
        if (stagedNames.remove(adapter.handle()) != null) {
            stagedBytes.add(-adapter.hostBytes());
        }
    }

    @Override
    public long stagedBytes() {
        return stagedBytes.sum();
    }

    // ---- steps ----------------------------------------------------------------------------------------------------

    @Override
    public void begin(StepPlan plan) {
        expectAlive();
        if (begun - awaited == STEPS_IN_FLIGHT_MAX) {
            throw new IllegalStateException("two steps are in flight already");
        }
        StepOutcome outcome = outcomes[begun % outcomes.length];
        StepOutcome previous = outcomes[(begun + outcomes.length - 1) % outcomes.length];
        boolean previousUnknown = begun > awaited && previous.failed();
        outcome.reset(plan.stepId);
        switch (settings.faults().stepFault(plan.stepId)) {
            case DEAD -> {
                dead = true;
                expectAlive();
            }
            case REFUSED -> outcome.refuse("injected fault");
            case FAILED -> run(plan, outcome, previous, previousUnknown, true);
            case NONE -> run(plan, outcome, previous, previousUnknown, false);
        }
        long nanos = outcome.refused ? 0 : cost(plan) + settings.faults().delayNanos(plan.stepId);
        outcome.phaseNanos[1] = nanos;
        outcome.phaseNanos[3] = nanos;
        busyUntil = Math.max(settings.clock().nanos(), busyUntil) + nanos;
        endNanos[begun % outcomes.length] = busyUntil;
        begun++;
    }

    @Override
    public StepOutcome await() {
        expectAlive();
        if (awaited == begun) {
            throw new IllegalStateException("no step is in flight");
        }
        StepOutcome outcome = outcomes[awaited % outcomes.length];
        settings.clock().sleepUntil(endNanos[awaited % outcomes.length]);
        awaited++;
        endedStep = outcome.stepId;
        return outcome;
    }

    private void expectAlive() {
        if (dead) {
            throw new EngineFault(Kind.DEAD, "the simulated engine has died");
        }
    }

    @Override
    public void close() {
        dead = true;
    }

    private long cost(StepPlan plan) {
        shape.clear().rows(plan.rowCount, 0);
        for (int s = 0; s < plan.sequenceCount; s++) {
            shape.contextTokens += plan.seqContext[s];
        }
        shape.loadPages = plan.movePageRefCount;
        for (int m = 0; m < plan.moveCount; m++) {
            shape.mergePages += plan.moveKind[m] == StepPlan.MOVE_MERGE ? slotPages[plan.moveSlot[m]].length : 0;
        }
        stepsWith++;
        for (int g = 0; g < plan.segmentCount; g++) {
            for (int i = plan.segmentSlotStart[g]; i < plan.segmentSlotStart[g + 1]; i++) {
                int slot = plan.segmentSlots[i];
                shape.adapterRows += plan.segmentStart[g + 1] - plan.segmentStart[g];
                if (usedInStep[slot] != stepsWith) {
                    usedInStep[slot] = stepsWith;
                    shape.adapters++;
                    shape.adapterPages += slotPages[slot].length;
                }
            }
        }
        return settings.costs().stepNanos(shape);
    }

    /** @param previousUnknown the step before has failed and whoever made this plan could not know */
    private void run(
            StepPlan plan, StepOutcome outcome, StepOutcome previous, boolean previousUnknown, boolean injected) {
        if (previousUnknown && (needsMovesOf(plan) || feedsDraws(plan))) {
            outcome.refuse("it depends on step " + previous.stepId + ", which failed");
            return;
        }
        move(plan, outcome);
        if (injected) {
            outcome.fault = "injected fault";
            return;
        }
        try {
            compute(plan, outcome, previous);
        } catch (PageViolation violation) {
            if (!previousUnknown) {
                throw violation;
            }
            outcome.fault = "it reads what step " + previous.stepId + " should have written: " + violation.getMessage();
            outcome.sampleCount = 0;
        }
    }

    // ---- moves ----------------------------------------------------------------------------------------------------

    /** Whether a plan uses slots or shadow weights that are not there. */
    private boolean needsMovesOf(StepPlan plan) {
        long[] handles = slotHandle.clone();
        int merged = mergedSlot;
        for (int m = 0; m < plan.moveCount; m++) {
            int slot = plan.moveSlot[m];
            switch (plan.moveKind[m]) {
                case StepPlan.MOVE_LOAD -> {
                    if (handles[slot] != 0) {
                        return true;
                    }
                    handles[slot] = plan.moveHandle[m];
                }
                case StepPlan.MOVE_DROP -> {
                    if (handles[slot] == 0) {
                        return true;
                    }
                    handles[slot] = 0;
                }
                case StepPlan.MOVE_MERGE -> merged = slot;
                case StepPlan.MOVE_UNMERGE -> merged = -1;
                default -> {}
            }
        }
        for (int i = 0; i < plan.segmentSlotCount; i++) {
            if (handles[plan.segmentSlots[i]] == 0) {
                return true;
            }
        }
        return plan.mergedSlot >= 0 && plan.mergedSlot != merged;
    }

    private static boolean feedsDraws(StepPlan plan) {
        for (int t = 0; t < plan.rowCount; t++) {
            if (plan.tokenIds[t] < 0) {
                return true;
            }
        }
        return false;
    }

    private void move(StepPlan plan, StepOutcome outcome) {
        for (int m = 0; m < plan.moveCount; m++) {
            int slot = plan.moveSlot[m];
            switch (plan.moveKind[m]) {
                case StepPlan.MOVE_LOAD -> load(plan, m, outcome);
                case StepPlan.MOVE_DROP -> {
                    Check.state(slotHandle[slot] != 0, () -> "slot " + slot + " is dropped but free");
                    Check.state(mergedSlot != slot, () -> "slot " + slot + " is dropped while it is merged");
                    slotHandle[slot] = 0;
                    slotName[slot] = "";
                    slotPages[slot] = NO_PAGES;
                }
                case StepPlan.MOVE_MERGE -> {
                    Check.state(slotHandle[slot] != 0, () -> "slot " + slot + " is merged but free");
                    mergedSlot = slot;
                }
                case StepPlan.MOVE_UNMERGE -> mergedSlot = -1;
                case StepPlan.MOVE_RESET_SEQUENCE -> counted[plan.moveA[m]] = 0;
                default -> throw new IllegalStateException("move of kind " + plan.moveKind[m] + " is not built");
            }
        }
    }

    private void load(StepPlan plan, int m, StepOutcome outcome) {
        int slot = plan.moveSlot[m];
        long handle = plan.moveHandle[m];
        String name = stagedNames.get(handle);
        Check.state(slotHandle[slot] == 0, () -> "slot " + slot + " is loaded but not free");
        Check.state(plan.moveA[m] == 0 && plan.moveB[m] == spec.layerGroups(), () -> "an adapter is loaded in part");
        if (name == null) {
            throw new IllegalStateException("adapter handle " + handle + " is not staged");
        }
        slotHandle[slot] = handle;
        slotName[slot] = name;
        slotPages[slot] =
                Arrays.copyOfRange(plan.movePages, plan.moveFirst[m], plan.moveFirst[m] + plan.movePageCount[m]);
        for (int i = 0; i < slotPages[slot].length; i++) {
            pages.load(slotPages[slot][i], handle, i, plan.stepId, endedStep);
        }
        int at = 2 * outcome.completedLoadCount++;
        if (outcome.completedLoads.length < at + 2) {
            outcome.completedLoads = Arrays.copyOf(outcome.completedLoads, 2 * (at + 2));
        }
        outcome.completedLoads[at] = slot;
        outcome.completedLoads[at + 1] = spec.layerGroups();
    }

    // ---- rows -----------------------------------------------------------------------------------------------------

    private void compute(StepPlan plan, StepOutcome outcome, StepOutcome previous) {
        makeRoom(plan, outcome);
        int segment = -1;
        long contributions = 0;
        int sample = 0;
        for (int s = 0; s < plan.sequenceCount; s++) {
            int first = plan.seqTokenStart[s];
            int end = plan.seqTokenStart[s + 1];
            while (segment < 0 || plan.segmentStart[segment + 1] <= first) {
                contributions = contributions(plan, ++segment);
            }
            int position = plan.positions[first];
            count(plan, s, position, end - first);
            int pageStart = plan.seqPageStart[s];
            long state = pages.read(plan.pageIds, pageStart, position, SimulatedModel.begin(), plan.stepId);
            for (int row = first; row < end; row++, position++) {
                int token = tokenOf(plan.tokenIds[row], previous, plan.stepId);
                int page = plan.pageIds[pageStart + position / spec.pageTokens()];
                long after = SimulatedModel.next(state, token, contributions);
                pages.write(page, position, state, after, plan.stepId, endedStep);
                state = after;
                while (sample < plan.sampleCount && plan.sampleRow[sample] == row) {
                    draw(plan, outcome, sample++, state, position);
                }
            }
        }
        outcome.sampleCount = plan.sampleCount;
    }

    private static int tokenOf(int id, StepOutcome previous, long stepId) {
        if (id >= 0) {
            return id;
        }
        int sample = -(id + 1);
        if (previous.stepId != stepId - 1 || sample >= previous.sampleCount) {
            throw new PageViolation("sample " + sample + " of the step before does not exist");
        }
        return previous.tokenIds[sample];
    }

    /** What the base weights and the segment's adapters add up to; reads the adapters' pages. */
    private long contributions(StepPlan plan, int segment) {
        long sum = 0;
        if (plan.mergedSlot >= 0) {
            Check.state(plan.mergedSlot == mergedSlot, () -> "slot " + plan.mergedSlot + " has no shadow weights");
            sum += SimulatedModel.contribution(slotName[mergedSlot], 1);
        }
        for (int i = plan.segmentSlotStart[segment]; i < plan.segmentSlotStart[segment + 1]; i++) {
            int slot = plan.segmentSlots[i];
            Check.state(slotHandle[slot] != 0, () -> "slot " + slot + " is used but free");
            for (int part = 0; part < slotPages[slot].length; part++) {
                pages.readAdapter(slotPages[slot][part], slotHandle[slot], part, plan.stepId);
            }
            sum += SimulatedModel.contribution(slotName[slot], plan.segmentScales[i]);
        }
        return sum;
    }

    private void count(StepPlan plan, int s, int position, int rows) {
        int scratch = plan.seqScratch[s];
        if (scratch >= 0) {
            if (counted[scratch] != position) {
                throw new PageViolation("scratch slot " + scratch + " has counted " + counted[scratch]
                        + " tokens of a sequence with " + position);
            }
            counted[scratch] += rows;
        }
    }

    private void draw(StepPlan plan, StepOutcome outcome, int k, long state, int position) {
        SimulatedModel model = settings.model();
        int token = model.draw(
                state, plan.seed[k], position, plan.biasIds, plan.biasValues, plan.biasStart[k], plan.biasStart[k + 1]);
        outcome.tokenIds[k] = token;
        outcome.logProbs[k] = plan.topLogProbs[k] < 0 ? Float.NaN : DRAWN_LOGPROB;
        int at = outcome.topStart[k];
        for (int i = 0; i < plan.topLogProbs[k]; i++) {
            outcome.topIds[at] = (token + i) % model.vocab();
            outcome.topLogProbs[at++] = DRAWN_LOGPROB - i;
        }
        outcome.topStart[k + 1] = at;
    }

    private static void makeRoom(StepPlan plan, StepOutcome outcome) {
        int samples = plan.sampleCount;
        int tops = 0;
        for (int k = 0; k < samples; k++) {
            tops += Math.max(0, plan.topLogProbs[k]);
        }
        if (outcome.tokenIds.length < samples) {
            outcome.tokenIds = new int[2 * samples];
            outcome.logProbs = new float[2 * samples];
            outcome.topStart = new int[2 * samples + 1];
        }
        if (outcome.topIds.length < tops) {
            outcome.topIds = new int[2 * tops];
            outcome.topLogProbs = new float[2 * tops];
        }
        outcome.topStart[0] = 0;
    }
}
