package io.chorale.bench;

import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterFolder;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.ModelFiles;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.NativeEngine;
import io.chorale.engine.jni.NativeEngineConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/**
 * Tokens per second inside the engine: scheduler, plans, native steps and outcomes, without tokenizer and HTTP, on the
 * bundled model with the overlapped loop.
 */
final class EngineBench {
    private static final int RUNS = 5;
    private static final int PROMPT_TOKENS = 16;
    private static final int ANSWER_TOKENS = 400;

    private final History history;
    private long nextRequest;

    EngineBench(History history) {
        this.history = history;
    }

    /** Returns the median tokens per second of 32 streams over six adapters. */
    double run() throws IOException, FileRejectedException {
        ModelFiles files = ModelFiles.open(Path.of("models/fable/model"));
        AdapterFolder folder = new AdapterFolder(files.shape());
        AdapterRegistry registry = new AdapterRegistry();
        List<AdapterEntry> adapters = folder.scan(Path.of("models/fable/adapters"), registry);
        try (Engine engine = NativeEngine.create(NativeEngineConfig.cpu(256L << 20), files.manifest())) {
            EngineSpec spec = engine.spec();
            Scheduler scheduler = new Scheduler(
                    new PoolGeometry(spec.pageCount(), spec.pageTokens(), spec.slotsMax(), spec.scratchMax()),
                    limits(spec),
                    SchedulerPolicies.PLAIN);
            for (AdapterEntry entry : adapters) {
                StagedAdapter staged = engine.stage(folder.read(entry));
                scheduler.adapterReady(entry.version(), staged.handle(), staged.pages());
            }
            String machine = ", " + spec.device();
            measure(engine, scheduler, 1, List.of());
            double[] one = new double[RUNS];
            double[] many = new double[RUNS];
            for (int run = 0; run < RUNS; run++) {
                one[run] = measure(engine, scheduler, 1, List.of());
                many[run] = measure(engine, scheduler, 32, adapters);
            }
            history.record("engine-1-stream", "tokens/s", one, 1000, "Fable, base model, greedy" + machine);
            history.record(
                    "engine-32-streams",
                    "tokens/s",
                    many,
                    6000,
                    "Fable, base model and six adapters, greedy" + machine);
            java.util.Arrays.sort(many);
            return many[RUNS / 2];
        }
    }

    private static SchedulerLimits limits(EngineSpec spec) {
        return new SchedulerLimits(
                spec.contextMax(),
                spec.vocab(),
                spec.layerGroups(),
                512,
                512,
                64,
                64,
                16,
                64,
                2,
                SchedulerLimits.MemoryRule.OPTIMISTIC);
    }

    private double measure(Engine engine, Scheduler scheduler, int streams, List<AdapterEntry> adapters) {
        long start = System.nanoTime();
        for (int stream = 0; stream < streams; stream++) {
            int choice = stream % (adapters.size() + 1);
            AdapterSet set = choice == 0
                    ? AdapterSet.BASE
                    : AdapterSet.of(adapters.get(choice - 1).version());
            int[] prompt = new int[PROMPT_TOKENS];
            for (int i = 0; i < PROMPT_TOKENS; i++) {
                prompt[i] = 6 + (31 * stream + 7 * i) % 2000;
            }
            scheduler.submit(
                    new RequestSpec(nextRequest++, 0, set, prompt, SamplingParams.greedy(ANSWER_TOKENS), 0, 0, start),
                    start);
        }
        EventBatch events = new EventBatch();
        long tokens = 0;
        int ended = 0;
        int inFlight = 0;
        while (ended < streams) {
            StepPlan plan = scheduler.plan(System.nanoTime());
            boolean begun = !plan.isEmpty();
            if (begun) {
                engine.begin(plan);
                inFlight++;
            }
            if (inFlight > (begun ? 1 : 0)) {
                scheduler.commit(engine.await(), System.nanoTime());
                inFlight--;
            }
            scheduler.drainEvents(events);
            for (int i = 0; i < events.size(); i++) {
                switch (events.get(i)) {
                    case SequenceEvent.Started started -> {}
                    case SequenceEvent.Token token -> tokens++;
                    case SequenceEvent.Finished finished -> ended++;
                    case SequenceEvent.Dropped dropped ->
                        throw new IllegalStateException("a stream was dropped: " + dropped);
                }
            }
            events.clear();
        }
        if (inFlight > 0) {
            scheduler.commit(engine.await(), System.nanoTime());
        }
        return tokens * 1e9 / (System.nanoTime() - start);
    }
}
