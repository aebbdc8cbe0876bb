package io.chorale.core.sched;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.chorale.core.memory.PoolGeometry;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A good plan passes; each way to break it is found and named. */
class PlanValidatorTest {
    private static final SchedulerLimits LIMITS = SchedulerLimits.of(32, 100, 8, 3, 2);

    private final PlanValidator validator = new PlanValidator(new PoolGeometry(8, 4, 4, 2), LIMITS);

    /** Two sequences of one adapter set each, the first with penalties; an upload. */
    private static StepPlan good() {
        StepPlan plan = new StepPlan();
        plan.reset(0);
        int move = plan.addMove(StepPlan.MOVE_LOAD, 2);
        plan.moveB[move] = 1;
        plan.moveHandle[move] = 5;
        plan.addMovePage(7);
        plan.beginSequence(5, 5, 1);
        plan.addPages(new int[] {0, 1}, 2);
        for (int position = 2; position < 5; position++) {
            plan.addRow(50 + position, position);
        }
        plan.repetition[plan.addSample(2)] = 1.5f;
        plan.endSegment();
        plan.beginSequence(1, 9, -1);
        plan.addPages(new int[] {2}, 1);
        plan.addRow(1, 0);
        plan.addSegmentSlot(2, 1);
        plan.endSegment();
        return plan;
    }

    @Test
    void aGoodPlanPassesAndTheNextFollows() {
        validator.check(good());
        StepPlan next = good();
        next.stepId = 1;
        next.tokenIds[2] = StepPlan.drawnBy(0);
        validator.check(next);
    }

    private static Arguments broken(String message, Consumer<StepPlan> change) {
        return Arguments.of(message, change);
    }

    static Stream<Arguments> brokenPlans() {
        return Stream.of(
                broken("step 3 follows step -1", plan -> plan.stepId = 3),
                broken("token 100 is outside [0, 100)", plan -> plan.tokenIds[1] = 100),
                broken("token -1 is outside [0, 100)", plan -> plan.tokenIds[2] = StepPlan.drawnBy(0)),
                broken("position 32 is outside [0, 32)", plan -> plan.positions[1] = 32),
                broken("positions of a sequence do not ascend by one at row 1", plan -> plan.positions[1] = 4),
                broken("context of sequence 0 does not end at its last row", plan -> plan.seqContext[0] = 6),
                broken("prompt length 0 is outside [1, 32)", plan -> plan.seqPrompt[1] = 0),
                broken("scratch slot 2 is outside [-1, 2)", plan -> plan.seqScratch[1] = 2),
                broken("scratch slot 1 is used twice", plan -> plan.seqScratch[1] = 1),
                broken("page 8 is outside [0, 8)", plan -> plan.pageIds[2] = 8),
                broken("page 0 is written and named twice in one step", plan -> plan.pageIds[2] = 0),
                broken("page 2 is written and named twice in one step", plan -> plan.movePages[0] = 2),
                broken("sequence 0 has too many or too few pages", plan -> plan.seqPageStart[1] = 1),
                broken("segments do not cover 4 elements", plan -> plan.segmentStart[2] = 3),
                broken("segment 0 ends inside a sequence", plan -> plan.segmentStart[1] = 2),
                broken("adapter slot 4 is outside [0, 4)", plan -> plan.segmentSlots[0] = 4),
                broken("a scale of slot 2 is not finite", plan -> plan.segmentScales[0] = Float.NaN),
                broken("sampled row 4 is outside [0, 4)", plan -> plan.sampleRow[0] = 4),
                broken("row 3 has penalties but no token counts", plan -> plan.sampleRow[0] = 3),
                broken("move 0 loads no adapter", plan -> plan.moveHandle[0] = 0),
                broken("loaded slot 9 is outside [0, 4)", plan -> plan.moveSlot[0] = 9),
                broken("the scheduler plans no move of kind 3", plan -> plan.moveKind[0] = StepPlan.MOVE_COPY_PAGE),
                broken("merged slot 4 is outside [-1, 4)", plan -> plan.mergedSlot = 4),
                broken("bias token 100 is outside [0, 100)", plan -> plan.addBias(100, 1)));
    }

    @ParameterizedTest
    @MethodSource("brokenPlans")
    void aBrokenPlanIsNamed(String message, Consumer<StepPlan> change) {
        StepPlan plan = good();
        change.accept(plan);
        IllegalStateException thrown = assertThrows(IllegalStateException.class, () -> validator.check(plan));
        assertEquals(message, thrown.getMessage());
    }

    @Test
    void tooManyOfAnythingIsNamed() {
        StepPlan rows = good();
        rows.beginSequence(5, 5, -1);
        rows.addPages(new int[] {3, 4}, 2);
        for (int position = 0; position < 5; position++) {
            rows.addRow(1, position);
        }
        rows.endSegment();
        IllegalStateException thrown = assertThrows(IllegalStateException.class, () -> validator.check(rows));
        assertEquals("9 rows in a step that may have 8", thrown.getMessage());
    }
}
