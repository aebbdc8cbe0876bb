package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.LearnedCosts;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.MergeRule;
import io.chorale.core.policy.PolicySettings.Merging;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The policies that merge in simulations, on the real CPU engine and the bundled model. */
class MergePolicyTest {
    private static final Path MODEL = Path.of("models/fable/model");
    private static final Path ADAPTERS = Path.of("models/fable/adapters");
    private static final List<String> NAMES = List.of("pirate", "moral", "bullets", "json", "robot", "shout");
    private static final NativeEngineConfig CONFIG =
            EngineConfigs.poisoned(EngineConfigs.inMode("fast", NativeEngineConfig.cpu(EngineUnderTest.POOL_BYTES)));
    private static final int REQUESTS = 48;
    private static final int TOKENS = 40;
    private static final int SWITCHES = Integer.getInteger("merge.switches", 10_000);

    /** Log-probabilities of the same tokens, merged and not: float32 sums in another order. */
    private static final double TOLERANCE = 2e-3;

    /** What merging is about: adapters cost something row by row, and the switch does too. */
    private static final StepCostModel COSTS =
            new StepCostModel.Linear(2_000_000, 100_000, 10, 50_000, 0, 40_000, 20_000, 10_000_000);

    private static final StepCostModel CHEAP_MERGES =
            new StepCostModel.Linear(2_000_000, 100_000, 10, 50_000, 0, 40_000, 20_000, 0);

    /** Tokens of an answer that is long enough to be merged for. */
    private static final int SHORT = 3;

    private static final int ROUNDS_MAX = 100;
    private static final int UNIFORM_ROUNDS = 12;
    /** More than a trial has. */
    private static final int MERGED_STEPS = 100;

    private static SchedulerPolicies policies(MergeRule rule, boolean mixture) {
        return SchedulerPolicies.of(PolicySettings.CHORALE.with(Merging.of(rule, mixture)), COSTS);
    }

    @ParameterizedTest
    @CsvSource({"COST,true", "COST,false", "THRESHOLDS,false", "ALWAYS_MERGED,true"})
    void skewedLoadIsMergedAndAnswersAreTheSame(MergeRule rule, boolean mixture) throws Exception {
        SchedulerDriver unmerged = play(policies(MergeRule.ALWAYS_UNMERGED, false), 0.9);
        SchedulerDriver merged = play(policies(rule, mixture), 0.9);
        LoadSnapshot load = merged.scheduler.snapshot();
        assertTrue(load.scheduling().mergedSteps() > 10, () -> "nothing was merged: " + load);
        assertSame(unmerged, merged);
    }

    @Test
    void uniformLoadIsNeverMerged() throws Exception {
        for (MergeRule rule : List.of(MergeRule.COST, MergeRule.THRESHOLDS)) {
            SchedulerDriver driver = play(policies(rule, rule == MergeRule.COST), 1.0 / NAMES.size());
            assertEquals(0, driver.scheduler.snapshot().scheduling().mergedSteps(), rule.name());
        }
    }

    /** Nobody told it what anything costs: it has to find out on this machine, at work. */
    @Test
    void skewedLoadIsMergedByCostsThatTheServerHasSeen() throws Exception {
        SchedulerDriver unmerged = play(policies(MergeRule.ALWAYS_UNMERGED, false), 0.95);
        try (EngineUnderTest under = new EngineUnderTest(MODEL, CONFIG)) {
            long digest = under.engine.weightsDigest();
            SchedulerDriver driver = driver(under, unmeasured(false));
            for (int round = 0; round < ROUNDS_MAX && mergedSteps(driver) <= MERGED_STEPS; round++) {
                round(driver, 0.95);
            }
            assertTrue(mergedSteps(driver) > MERGED_STEPS, () -> "little was merged: " + driver.scheduler.snapshot());
            round(driver, 0.95);
            assertSame(unmerged, driver);
            assertEquals(digest, under.engine.weightsDigest(), "the base weights have changed");
        }
    }

    @Test
    void uniformLoadIsNeverMergedToFindOut() throws Exception {
        for (boolean mixture : new boolean[] {true, false}) {
            try (EngineUnderTest under = new EngineUnderTest(MODEL, CONFIG)) {
                SchedulerDriver driver = driver(under, unmeasured(mixture));
                for (int round = 0; round < UNIFORM_ROUNDS; round++) {
                    round(driver, 1.0 / NAMES.size());
                }
                assertEquals(0, mergedSteps(driver));
            }
        }
    }

    private static SchedulerPolicies unmeasured(boolean mixture) {
        return SchedulerPolicies.of(
                PolicySettings.CHORALE.with(Merging.of(MergeRule.COST, mixture)),
                new LearnedCosts(StepCostModel.Linear.FREE));
    }

    private static long mergedSteps(SchedulerDriver driver) {
        return driver.scheduler.snapshot().scheduling().mergedSteps();
    }

    private static void round(SchedulerDriver driver, double share) {
        driver.answers.clear();
        submit(driver, share);
        driver.runAll();
    }

    /** The rule as it is, told that a merge costs nothing, and adapters that are in demand by turns. */
    @Test
    void theBaseIsBitwiseAndAnswersAreTheSameAfterManySwitches() throws Exception {
        try (EngineUnderTest under = new EngineUnderTest(MODEL, CONFIG)) {
            long digest = under.engine.weightsDigest();
            SchedulerDriver driver = driver(
                    under,
                    SchedulerPolicies.of(PolicySettings.CHORALE.with(Merging.of(MergeRule.COST, true)), CHEAP_MERGES));
            for (long id = 0; driver.scheduler.snapshot().scheduling().merges() < SWITCHES; id++) {
                driver.submit(spec(id, AdapterSet.of((int) (id % NAMES.size())), SHORT));
                driver.runAll();
                driver.answers.clear();
                assertTrue(id < 2L * SWITCHES, () -> "it hardly switches: " + driver.scheduler.snapshot());
            }
            assertEquals(digest, under.engine.weightsDigest());
            round(driver, 0.9);
            assertSame(play(policies(MergeRule.ALWAYS_UNMERGED, false), 0.9), driver);
        }
    }

    private static SchedulerDriver play(SchedulerPolicies policies, double share) throws Exception {
        try (EngineUnderTest under = new EngineUnderTest(MODEL, CONFIG)) {
            long digest = under.engine.weightsDigest();
            SchedulerDriver driver = driver(under, policies);
            submit(driver, share);
            driver.runAll();
            assertEquals(digest, under.engine.weightsDigest(), "the base weights have changed");
            return driver;
        }
    }

    /** @param share of the requests that want the first adapter; the others want the rest in turn */
    private static void submit(SchedulerDriver driver, double share) {
        for (int i = 0; i < REQUESTS; i++) {
            boolean popular = i * share % 1 + share >= 1;
            int version = popular ? 0 : 1 + i % (NAMES.size() - 1);
            driver.submit(spec(i, AdapterSet.of(version), TOKENS));
        }
    }

    private static SchedulerDriver driver(EngineUnderTest under, SchedulerPolicies policies) throws Exception {
        SchedulerDriver driver = new SchedulerDriver(under.engine, 64, 12, policies, true);
        for (int version = 0; version < NAMES.size(); version++) {
            StagedAdapter staged = under.stage(ADAPTERS.resolve(NAMES.get(version)));
            driver.scheduler.adapterReady(version, staged.handle(), staged.pages());
        }
        return driver;
    }

    private static RequestSpec spec(long id, AdapterSet adapters, int tokens) {
        int[] prompt = IntStream.range(0, 12)
                .map(i -> 6 + (int) (31 * id + 7 * i) % 2000)
                .toArray();
        SamplingParams greedy = SamplingParams.greedy(tokens);
        SamplingParams sampling = new SamplingParams(
                0, 0, 1, 0, 1, 0, 0, 0, greedy.tokensMax(), 0, new int[0], 0, new int[0], new float[0]);
        return new RequestSpec(id, 0, adapters, prompt, sampling, 0, 0, 0);
    }

    /** Token by token as long as they agree; a tie that falls the other way makes another text, not a wrong one. */
    private static void assertSame(SchedulerDriver expected, SchedulerDriver actual) {
        int compared = 0;
        for (long id = 0; id < REQUESTS; id++) {
            SchedulerDriver.Answer one = expected.answer(id);
            SchedulerDriver.Answer other = actual.answer(id);
            assertInstanceOf(SequenceEvent.Finished.class, other.end);
            for (int i = 0; i < TOKENS && one.ids.get(i).equals(other.ids.get(i)); i++) {
                double difference = Math.abs(one.logProbs.get(i) - other.logProbs.get(i));
                assertTrue(difference <= TOLERANCE, "request " + id + ", token " + i + " differs by " + difference);
                compared++;
            }
        }
        assertTrue(compared > REQUESTS * TOKENS * 9 / 10, "only " + compared + " tokens are the same");
    }
}
