package io.chorale.engine.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.policy.StepCostModel;
import io.chorale.core.policy.StepShape;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.EngineFault;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.sim.SimulatedPages.PageViolation;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;

/** That the checks find what they are for: plans here are written by hand, and wrong in one way each. */
class SimulatedEngineTest {
    private static final int PAGE_TOKENS = 4;

    private final SimClock.Virtual clock = new SimClock.Virtual();
    private final SimulatedEngine engine = engine(FaultPlan.NONE);
    private final StepPlan plan = new StepPlan();
    private long step;

    private SimulatedEngine engine(FaultPlan faults) {
        return new SimulatedEngine(new SimulatedEngine.Settings(
                SimulatedEngine.spec(8, PAGE_TOKENS, 100, 64, 4),
                new SimulatedModel(1, 100, 3, 0),
                StepCostModel.Linear.LARGE_GPU,
                clock,
                faults));
    }

    private StepPlan next() {
        plan.reset(step++);
        return plan;
    }

    /** Rows of a sequence whose token at position p is {@code 10 + p}; the last one is sampled. */
    private void sequence(int from, int to, int... pages) {
        plan.beginSequence(to, to, -1);
        plan.addPages(pages, (to + PAGE_TOKENS - 1) / PAGE_TOKENS);
        for (int position = from; position < to; position++) {
            plan.addRow(10 + position, position);
        }
        plan.addSample(plan.rowCount - 1);
        plan.endSegment();
    }

    private int drawn() {
        engine.begin(plan);
        StepOutcome outcome = engine.await();
        assertFalse(outcome.failed(), outcome.fault);
        return outcome.tokenIds[0];
    }

    private void expectViolation(String text) {
        PageViolation violation = assertThrows(PageViolation.class, () -> engine.begin(plan));
        assertTrue(String.valueOf(violation.getMessage()).contains(text), violation::toString);
    }

    private StagedAdapter stage(String name) {
        return engine.stage(new AdapterWeights(name, 2 << 20, ByteBuffer.allocate(0)));
    }

    private void load(StagedAdapter adapter, int slot, int... pages) {
        int move = plan.addMove(StepPlan.MOVE_LOAD, slot);
        plan.moveB[move] = 1;
        plan.moveHandle[move] = adapter.handle();
        for (int page : pages) {
            plan.addMovePage(page);
        }
    }

    @Test
    void anAnswerDoesNotDependOnChunksOrPages() {
        next();
        sequence(0, 6, 0, 1);
        int whole = drawn();
        next();
        sequence(0, 3, 5);
        drawn();
        next();
        sequence(3, 6, 5, 2);
        assertEquals(whole, drawn());
    }

    @Test
    void anAnswerDependsOnItsAdapterAndMergedIsTheSame() {
        StagedAdapter adapter = stage("a");
        next();
        load(adapter, 2, 6, 7);
        sequence(0, 4, 0);
        int base = drawn();
        next();
        plan.addSegmentSlot(2, 1);
        sequence(0, 4, 1);
        int adapted = drawn();
        assertNotEquals(base, adapted);
        next();
        plan.addMove(StepPlan.MOVE_MERGE, 2);
        plan.mergedSlot = 2;
        sequence(0, 4, 2);
        assertEquals(adapted, drawn());
        next();
        plan.mergedSlot = 2;
        plan.addSegmentSlot(2, -1);
        sequence(0, 4, 3);
        assertEquals(base, drawn());
    }

    @Test
    void findsAPageThatAnotherSequenceOverwrote() {
        next();
        sequence(0, 5, 0, 1);
        drawn();
        next();
        sequence(0, 2, 0);
        drawn();
        next();
        sequence(5, 6, 0, 1);
        expectViolation("page 0 does not hold tokens 0 to 4");
    }

    @Test
    void findsTokensThatWereNeverComputed() {
        next();
        sequence(2, 4, 0);
        expectViolation("page 0 does not hold tokens 0 to 2");
    }

    @Test
    void findsAPageReusedWhileAStepInFlightReadsIt() {
        next();
        sequence(0, 4, 0);
        engine.begin(plan);
        next();
        sequence(0, 4, 0);
        expectViolation("page 0 while step 0 still uses it");
    }

    @Test
    void findsAnUploadIntoAPageThatAStepInFlightReads() {
        StagedAdapter adapter = stage("a");
        next();
        sequence(0, 4, 0);
        engine.begin(plan);
        next();
        load(adapter, 0, 0, 1);
        expectViolation("an upload writes page 0 while step 0 still uses it");
    }

    @Test
    void findsAnAdapterWhosePageWasGivenToASequence() {
        StagedAdapter adapter = stage("a");
        next();
        load(adapter, 0, 6, 7);
        sequence(0, 4, 7);
        assertThrows(PageViolation.class, () -> engine.begin(plan), "in the same step already");
        engine.close();
    }

    @Test
    void findsAnAdapterThatWasOverwrittenLater() {
        StagedAdapter adapter = stage("a");
        next();
        load(adapter, 0, 6, 7);
        sequence(0, 4, 0);
        drawn();
        next();
        sequence(0, 4, 7);
        drawn();
        next();
        plan.addSegmentSlot(0, 1);
        sequence(0, 4, 1);
        expectViolation("page 7 should hold part 1");
    }

    @Test
    void findsCountsThatWereNotReset() {
        next();
        sequence(0, 4, 0);
        plan.seqScratch[0] = 1;
        drawn();
        next();
        sequence(0, 4, 1);
        plan.seqScratch[0] = 1;
        expectViolation("scratch slot 1 has counted 4");
    }

    @Test
    void feedsTheTokenThatTheStepBeforeDraws() {
        next();
        sequence(0, 4, 0);
        engine.begin(plan);
        StepPlan ahead = new StepPlan();
        ahead.reset(step++);
        ahead.beginSequence(5, 4, -1);
        ahead.addPages(new int[] {0, 1}, 2);
        ahead.addRow(StepPlan.drawnBy(0), 4);
        ahead.addSample(0);
        ahead.endSegment();
        engine.begin(ahead);
        int first = engine.await().tokenIds[0];
        int second = engine.await().tokenIds[0];
        StepPlan again = next();
        again.beginSequence(5, 4, -1);
        again.addPages(new int[] {2, 3}, 2);
        for (int position = 0; position < 5; position++) {
            again.addRow(position < 4 ? 10 + position : first, position);
        }
        again.addSample(4);
        again.endSegment();
        assertEquals(second, drawn());
    }

    @Test
    void takesAsLongAsTheCostModelSays() {
        next();
        sequence(0, 4, 0);
        drawn();
        assertEquals(StepCostModel.Linear.LARGE_GPU.stepNanos(new StepShape().rows(4, 4)), clock.nanos());
    }

    @Test
    void aDeadEngineSaysSoEveryTime() {
        SimulatedEngine dying = engine(new FaultPlan.Seeded(0, 0, 0, 0, 0, 0, 0));
        next();
        sequence(0, 4, 0);
        for (int i = 0; i < 2; i++) {
            EngineFault fault = assertThrows(EngineFault.class, () -> dying.begin(plan));
            assertEquals(EngineFault.Kind.DEAD, fault.kind());
        }
    }
}
