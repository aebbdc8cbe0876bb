package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterFacts;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.core.admission.AdmissionController;
import io.chorale.core.admission.AdmissionLimits;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepOutcome;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimClock;
import io.chorale.engine.sim.SimulatedEngine;
import io.chorale.engine.sim.SimulatedModel;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * One adapter is replaced a thousand times while it is asked for and others stream: each answer is that of one version,
 * nobody else waits for a reload, and in the end host memory and the pool are as they were.
 */
class ReloadStormTest {
    private static final int RELOADS = 1_000;
    private static final int ANSWER_TOKENS = 12;
    private static final int VOCAB = 100;
    private static final int CONTEXT = 1 << 16;
    private static final int[] PROMPT = {1, 2, 3};
    private static final SimulatedModel MODEL = new SimulatedModel(1, VOCAB, 0, 0);

    /** A client that keeps what it gets. Its events come on the serving thread, in the turn of the step that drew them. */
    private final class Client implements TicketListener {
        final List<Integer> tokens = new ArrayList<>();
        volatile @Nullable SequenceEvent end;
        int lastStep = -1;
        volatile int longestGapSteps;

        @Override
        public void eventsReady(RequestTicket ticket) {
            ticket.drain(event -> {
                switch (event) {
                    case SequenceEvent.Started started -> {}
                    case SequenceEvent.Token token -> {
                        tokens.add(token.tokenId());
                        longestGapSteps = Math.max(longestGapSteps, lastStep < 0 ? 0 : steps - lastStep);
                        lastStep = steps;
                    }
                    case SequenceEvent.Finished finished -> end = finished;
                    case SequenceEvent.Dropped dropped -> end = dropped;
                }
            });
        }
    }

    private volatile int steps;
    private final AdapterRegistry registry = new AdapterRegistry();
    private final Service service = service();

    private Service service() {
        PoolGeometry pool = new PoolGeometry(4_096, 64, 8, 0);
        SchedulerLimits limits = SchedulerLimits.of(CONTEXT, VOCAB, 256, 32, 8);
        SimulatedEngine engine = new SimulatedEngine(new SimulatedEngine.Settings(
                SimulatedEngine.spec(4_096, 64, VOCAB, CONTEXT, 8),
                MODEL,
                StepCostModel.Linear.of(200_000),
                new SimClock.Wall(),
                FaultPlan.NONE));
        ServingObserver counter = new CountingObserver();
        return new Service(
                engine,
                new Scheduler(pool, limits, SchedulerPolicies.PLAIN),
                new AdmissionController(new AdmissionLimits(32, 64, 1 << 24, CONTEXT, pool, 512, false)),
                registry,
                // The simulated model answers by the adapter's name: each version has its own.
                entry -> new AdapterWeights(nameOf(entry.version()), 1_000, ByteBuffer.allocate(0)),
                counter,
                System::nanoTime,
                Tenants.single(System::nanoTime),
                new ServingOptions(true, 64, 1 << 16, 1 << 20, Duration.ofSeconds(5)));
    }

    private final class CountingObserver implements ServingObserver {
        @Override
        @SuppressWarnings("NonAtomicVolatileUpdate") // one writer
        public void stepEnded(StepOutcome outcome, long waitedNanos, long gapNanos) {
            steps++;
        }
    }

    private static String nameOf(int version) {
        return "hot, version " + version;
    }

    private int replace() {
        return registry.add(new AdapterEntry(
                        AdapterEntry.UNREGISTERED,
                        "hot",
                        Path.of("hot"),
                        new AdapterFacts(4, List.of("q_proj"), 1_000, ""),
                        "",
                        "",
                        List.of()))
                .version();
    }

    private Client ask(AdapterSet adapters, int tokens) {
        Client client = new Client();
        RequestSpec spec = new RequestSpec(
                service.door().nextId(),
                0,
                adapters,
                PROMPT,
                SamplingParams.greedy(tokens),
                0,
                0,
                service.door().nowNanos());
        Door.Decision decision = service.door().enter(List.of(new Door.Entrant(spec, client)), Runnable::run);
        assertInstanceOf(Door.Decision.Admitted.class, decision);
        return client;
    }

    /** What one version answers, whoever else is there. */
    private static List<Integer> answerOf(int version) {
        long contribution = SimulatedModel.contribution(nameOf(version), 1);
        long state = SimulatedModel.begin();
        for (int token : PROMPT) {
            state = SimulatedModel.next(state, token, contribution);
        }
        List<Integer> tokens = new ArrayList<>();
        long seed = SamplingParams.greedy(ANSWER_TOKENS).seed();
        for (int i = 0; i < ANSWER_TOKENS; i++) {
            int token = MODEL.draw(state, seed, PROMPT.length + i - 1, new int[0], new float[0], 0, 0);
            tokens.add(token);
            state = SimulatedModel.next(state, token, contribution);
        }
        return tokens;
    }

    @Test
    @Timeout(120)
    void everyAnswerIsOfOneVersionAndNobodyWaits() throws Exception {
        service.start();
        try {
            List<Client> streams = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                streams.add(ask(AdapterSet.BASE, CONTEXT - PROMPT.length - 1));
            }
            List<Client> answers = new ArrayList<>();
            List<Integer> versions = new ArrayList<>();
            for (int i = 0; i < RELOADS; i++) {
                int version = replace();
                answers.add(ask(AdapterSet.of(version), ANSWER_TOKENS));
                versions.add(version);
                Client tenth = answers.get(Math.max(0, i - 10));
                await("ten answers behind", () -> tenth.end != null);
            }
            for (int i = 0; i < RELOADS; i++) {
                Client answer = answers.get(i);
                await("an answer", () -> answer.end != null);
                assertInstanceOf(SequenceEvent.Finished.class, answer.end);
                assertEquals(answerOf(versions.get(i)), answer.tokens, "version " + versions.get(i));
            }
            for (Client stream : streams) {
                assertTrue(stream.longestGapSteps <= 2, "a stream waited for " + stream.longestGapSteps + " steps");
                assertTrue(stream.tokens.size() > RELOADS / 10);
            }
            registry.remove("hot");
            await("host memory is free", () -> service.stager().store().bytesUsed() == 0);
            await("the pool is free", () -> service.door().snapshot().pagesAdapter() == 0);
            assertEquals(0, service.door().snapshot().residentAdapters().length);
        } finally {
            service.close();
        }
    }

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        for (int i = 0; !condition.getAsBoolean(); i++) {
            assertTrue(i < 60_000, what + " does not come");
            Thread.sleep(1);
        }
    }
}
