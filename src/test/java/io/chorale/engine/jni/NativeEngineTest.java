package io.chorale.engine.jni;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.ModelFiles;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.EngineFault;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the port promises: refusals wait their turn, faults have a kind, and the engine goes on. */
class NativeEngineTest {
    private static final Path MODEL = Path.of("src/test/resources/parity/qwen3-qknorm/model");
    private static final int VOCAB = 400;

    private final NativeEngine engine;
    private final StepPlan plan = new StepPlan();
    private final StepPlan ahead = new StepPlan();

    @TempDir
    Path folder;

    NativeEngineTest() throws Exception {
        engine = create(MODEL);
    }

    private static NativeEngine create(Path model) throws Exception {
        NativeEngineConfig config = EngineConfigs.poisoned(NativeEngineConfig.cpu(16L << 20));
        return NativeEngine.create(config, ModelFiles.open(model).manifest());
    }

    @BeforeEach
    void plansAreEmpty() {
        plan.reset(0);
        ahead.reset(1);
    }

    @AfterEach
    void close() {
        engine.close();
        engine.close();
    }

    /** A sequence of these tokens on page 0, one sample. */
    private static StepPlan onPageZero(StepPlan plan, int firstPosition, int... tokens) {
        plan.beginSequence(firstPosition + tokens.length, 3, -1);
        plan.addPages(new int[] {0}, 1);
        for (int i = 0; i < tokens.length; i++) {
            plan.addRow(tokens[i], firstPosition + i);
        }
        plan.endSegment();
        plan.addSample(plan.rowCount - 1);
        return plan;
    }

    private StepOutcome run(StepPlan one) {
        engine.begin(one);
        return engine.await();
    }

    @Test
    void theSpecIsTheModelsAndTheConfigs() {
        EngineSpec spec = engine.spec();
        assertEquals("cpu", spec.backend());
        assertFalse(spec.device().isBlank());
        assertEquals(List.of(64, VOCAB, 512), List.of(spec.hidden(), spec.vocab(), spec.contextMax()));
        assertEquals(
                List.of(256, 256, 4096, 512, 512),
                List.of(spec.slotsMax(), spec.scratchMax(), spec.rowsMax(), spec.sequencesMax(), spec.samplesMax()));
        assertTrue(spec.pageCount() * spec.pageBytes() <= 16L << 20);
        assertEquals("2", engine.description().get("steps_in_flight_max"));
    }

    @Test
    void aRefusedStepIsAnOutcomeInItsTurnAndTheNextOnesRun() {
        int first = run(onPageZero(plan, 0, 1, 2, 3)).tokenIds[0];
        plan.reset(1);
        engine.begin(onPageZero(plan, 0, 1, 2, 3));
        engine.begin(onPageZero(reset(ahead, 2), 0, 1, VOCAB, 3));
        assertFalse(engine.await().failed());
        StepOutcome refused = engine.await();
        assertEquals(2, refused.stepId);
        assertTrue(refused.refused);
        assertTrue(refused.fault.contains("token_ids[1]: 400 is outside [0, 400)"), refused.fault);
        assertEquals(0, refused.sampleCount);
        StepOutcome next = run(onPageZero(reset(plan, 3), 0, 1, 2, 3));
        assertEquals(3, next.stepId);
        assertEquals(first, next.tokenIds[0]);
        assertFalse(next.refused);
    }

    private static StepPlan reset(StepPlan plan, long stepId) {
        plan.reset(stepId);
        return plan;
    }

    @Test
    void aStepThatContinuesARefusedOneIsRefusedToo() {
        engine.begin(onPageZero(plan, 0, 1, -5));
        engine.begin(onPageZero(ahead, 2, StepPlan.drawnBy(0)));
        assertTrue(engine.await().refused);
        StepOutcome second = engine.await();
        assertTrue(second.refused);
        assertEquals("row 0 continues a sample of the step before, which was refused", second.fault);
        assertFalse(run(onPageZero(reset(plan, 2), 0, 1, 2)).failed());
    }

    @Test
    void aStepThatContinuesAFailedOneFailsToo() {
        run(onPageZero(plan, 0, 1, 2, 3));
        engine.poisonPages(0);
        engine.begin(onPageZero(reset(plan, 1), 3, 4));
        engine.begin(onPageZero(reset(ahead, 2), 4, StepPlan.drawnBy(0)));
        StepOutcome failed = engine.await();
        assertTrue(failed.failed() && !failed.refused && failed.fault.contains("NaN"), failed.fault);
        StepOutcome second = engine.await();
        assertTrue(second.failed(), "it was fed a token that nobody drew");
        assertFalse(run(onPageZero(reset(plan, 3), 0, 1, 2, 3)).failed());
    }

    @Test
    void noMoreThanTwoStepsAreBegun() {
        engine.begin(onPageZero(plan, 0, 1));
        engine.begin(onPageZero(ahead, 0, 1));
        assertThrows(IllegalStateException.class, () -> engine.begin(onPageZero(reset(plan, 2), 0, 1)));
        assertFalse(engine.await().failed());
        assertFalse(engine.await().failed());
    }

    @Test
    void biasAndMasksReachTheSample() {
        onPageZero(plan, 0, 1, 2, 3);
        plan.topLogProbs[0] = 3;
        StepOutcome free = run(plan);
        int best = free.tokenIds[0];
        int second = free.topIds[1];
        assertEquals(best, free.topIds[0]);
        assertEquals(free.logProbs[0], free.topLogProbs[0]);
        onPageZero(reset(plan, 1), 0, 1, 2, 3).addBias(best, Float.NEGATIVE_INFINITY);
        assertEquals(second, run(plan).tokenIds[0]);
        onPageZero(reset(plan, 2), 0, 1, 2, 3).maskIndex[0] = 0;
        plan.maskCount = 1;
        plan.maskBits = new int[(VOCAB + 31) / 32];
        plan.maskBits[7 / 32] |= 1 << 7;
        assertEquals(7, run(plan).tokenIds[0]);
    }

    @Test
    void aLatePartThatTheEngineWouldRefuseIsRefusedBeforeTheStepBegins() {
        onPageZero(plan, 0, 1, 2, 3).addBias(VOCAB, 1);
        assertEquals("a bias is for token 400, outside the vocabulary of 400", run(plan).fault);
        onPageZero(reset(plan, 1), 0, 1, 2, 3).addBias(3, Float.NaN);
        assertEquals("the bias of token 3 is NaN", run(plan).fault);
        onPageZero(reset(plan, 2), 0, 1, 2, 3).maskIndex[0] = 0;
        plan.maskCount = 1;
        plan.maskBits = new int[(VOCAB + 31) / 32];
        assertEquals("mask 0 allows no token", run(plan).fault);
        plan.maskBits[0] = 1;
        plan.maskIndex[0] = 1;
        assertEquals("sample 0 has mask 1 of 1", run(plan).fault);
        assertFalse(run(onPageZero(reset(plan, 3), 0, 1, 2, 3)).failed());
    }

    @Test
    void largeStepsAndResultsGrowTheBuffers() {
        int rows = 500;
        plan.beginSequence(rows, rows, -1);
        int[] pages =
                new int[(rows + engine.spec().pageTokens() - 1) / engine.spec().pageTokens()];
        Arrays.setAll(pages, i -> i);
        plan.addPages(pages, pages.length);
        plan.hiddenRows = new int[rows];
        for (int t = 0; t < rows; t++) {
            plan.addRow(1 + t % (VOCAB - 1), t);
            plan.hiddenRows[plan.hiddenCount++] = t;
            int sample = plan.addSample(t);
            plan.topLogProbs[sample] = VOCAB;
        }
        plan.endSegment();
        StepOutcome outcome = run(plan);
        assertEquals("", outcome.fault);
        assertEquals(rows, outcome.sampleCount);
        assertEquals(rows, outcome.hiddenCount);
        assertEquals(rows * VOCAB, outcome.topStart[rows]);
        double mass = 0;
        for (int i = outcome.topStart[rows - 1]; i < outcome.topStart[rows]; i++) {
            mass += Math.exp(outcome.topLogProbs[i]);
        }
        assertEquals(1, mass, 1e-4);
    }

    @Test
    void penaltiesUseTheTokenCountsOfTheirScratchSlot() {
        plan.beginSequence(3, 3, 5);
        plan.addPages(new int[] {0}, 1);
        plan.addRow(1, 0);
        plan.addRow(2, 1);
        plan.addRow(3, 2);
        plan.endSegment();
        plan.repetition[plan.addSample(2)] = 1.5f;
        plan.moveA[plan.addMove(StepPlan.MOVE_RESET_SEQUENCE, 0)] = 5;
        assertEquals("", run(plan).fault);
        onPageZero(reset(plan, 1), 0, 1, 2, 3).repetition[0] = 1.5f;
        assertTrue(run(plan).fault.contains("sample 0 has penalties"));
    }

    @Test
    void wrongManifestsAndConfigsAreRejectedInput() throws Exception {
        ByteBuffer manifest = ModelFiles.open(MODEL).manifest();
        manifest.put(100, (byte) (manifest.get(100) ^ 1));
        EngineFault checksum =
                assertThrows(EngineFault.class, () -> NativeEngine.create(NativeEngineConfig.cpu(1 << 20), manifest));
        assertEquals(EngineFault.Kind.REJECTED_INPUT, checksum.kind());
        ByteBuffer good = ModelFiles.open(MODEL).manifest();
        EngineFault mode = assertThrows(
                EngineFault.class,
                () -> NativeEngine.create(EngineConfigs.inMode("slow", NativeEngineConfig.cpu(1 << 20)), good));
        assertTrue(String.valueOf(mode.getMessage()).contains("mode=slow"), mode.getMessage());
        assertThrows(EngineFault.class, () -> NativeEngine.create(NativeEngineConfig.cpu(100), good));
    }

    @Test
    void aFileThatChangedAfterItWasVerifiedIsRefused() throws Exception {
        Path copy = Files.createDirectories(folder.resolve("model"));
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(MODEL.resolve(name), copy.resolve(name));
        }
        ByteBuffer manifest = ModelFiles.open(copy).manifest();
        byte[] bytes = Files.readAllBytes(copy.resolve("model.safetensors"));
        Files.write(copy.resolve("model.safetensors"), Arrays.copyOf(bytes, bytes.length - 4096));
        EngineFault fault =
                assertThrows(EngineFault.class, () -> NativeEngine.create(NativeEngineConfig.cpu(1 << 20), manifest));
        assertEquals(EngineFault.Kind.REJECTED_INPUT, fault.kind());
        assertTrue(String.valueOf(fault.getMessage()).contains("model.safetensors"), fault.getMessage());
    }

    @Test
    void badAdaptersAreRejectedByNameAndTheEngineGoesOn() {
        AdapterWeights junk = new AdapterWeights("junk", 0, NativeBuffers.allocate(88));
        EngineFault fault = assertThrows(EngineFault.class, () -> engine.stage(junk));
        assertEquals(EngineFault.Kind.REJECTED_INPUT, fault.kind());
        assertTrue(String.valueOf(fault.getMessage()).startsWith("adapter 'junk': "), fault.getMessage());
        assertThrows(EngineFault.class, () -> engine.release(new StagedAdapter(77, 1, 1)));
        assertFalse(run(onPageZero(plan, 0, 1, 2, 3)).failed());
    }

    @Test
    void twoEnginesDoNotKnowOfEachOther() throws Exception {
        StepOutcome here = run(onPageZero(plan, 0, 1, 2, 3));
        int[] ids = Arrays.copyOf(here.tokenIds, 1);
        try (NativeEngine other = create(MODEL)) {
            other.begin(onPageZero(ahead, 0, 1, 2, 3));
            assertArrayEquals(ids, Arrays.copyOf(other.await().tokenIds, 1));
        }
        assertFalse(run(onPageZero(reset(plan, 1), 0, 1, 2, 3)).failed());
    }
}
