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
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.NativeEngine;
import io.chorale.engine.jni.NativeEngineConfig;
import java.nio.file.Path;
import java.util.List;

/** Fable on the CPU engine with its adapters staged, under a scheduler of its own: what the benchmarks run on. */
final class BundledModel implements AutoCloseable {
    private static final int PROMPT_TOKENS = 16;
    private static final long POOL_BYTES = 512L << 20;

    final Engine engine;
    final Scheduler scheduler;
    final List<AdapterEntry> adapters;
    private long nextRequest;

    /** @param sequencesMax sequences that run at once */
    BundledModel(int sequencesMax) throws FileRejectedException {
        ModelFiles files = ModelFiles.open(Path.of("models/fable/model"));
        AdapterFolder folder = new AdapterFolder(files.shape());
        adapters = folder.scan(Path.of("models/fable/adapters"), new AdapterRegistry());
        engine = NativeEngine.create(NativeEngineConfig.cpu(POOL_BYTES), files.manifest());
        EngineSpec spec = engine.spec();
        scheduler = new Scheduler(
                new PoolGeometry(spec.pageCount(), spec.pageTokens(), spec.slotsMax(), spec.scratchMax()),
                new SchedulerLimits(
                        spec.contextMax(),
                        spec.vocab(),
                        spec.layerGroups(),
                        512,
                        512,
                        sequencesMax,
                        sequencesMax,
                        16,
                        64,
                        2),
                SchedulerPolicies.PLAIN);
        for (AdapterEntry entry : adapters) {
            StagedAdapter staged = engine.stage(folder.read(entry));
            scheduler.adapterReady(entry.version(), staged.handle(), staged.pages());
        }
    }

    /**
     * Submits greedy requests that run to their full length.
     *
     * @param mixed whether they take turns over the base model and all adapters, or all use the base model
     */
    void submit(int requests, boolean mixed, int answerTokens, long now) {
        for (int request = 0; request < requests; request++) {
            int choice = mixed ? request % (adapters.size() + 1) : 0;
            AdapterSet set = choice == 0
                    ? AdapterSet.BASE
                    : AdapterSet.of(adapters.get(choice - 1).version());
            int[] prompt = new int[PROMPT_TOKENS];
            for (int i = 0; i < PROMPT_TOKENS; i++) {
                prompt[i] = 6 + (31 * request + 7 * i) % 2000;
            }
            scheduler.submit(
                    new RequestSpec(nextRequest++, 0, set, prompt, SamplingParams.greedy(answerTokens), 0, 0, now),
                    now);
        }
    }

    @Override
    public void close() {
        engine.close();
    }
}
