package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterFolder;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.ModelFiles;
import io.chorale.core.admission.AdmissionController;
import io.chorale.core.admission.AdmissionLimits;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.jni.NativeEngine;
import io.chorale.engine.jni.NativeEngineConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * The whole service on the CPU engine with the bundled model: whatever adapters come, fail and go, the pages of the
 * pool and the bytes of the host store are back where they were.
 */
@Timeout(120)
class AdapterLeakTest {
    private static final Path CORPUS = Path.of("src/test/resources/adapters/malformed");
    private static final Path FABLE = Path.of("models/fable/adapters");
    private static final int[] PROMPT = {11, 7, 301, 42};
    private static final int ANSWER_TOKENS = 6;
    private static final int RELOADS = 120;

    /** How a request ended, and its tokens. */
    private record Answer(List<Integer> tokens, SequenceEvent end) {}

    private final ModelFiles model = ModelFiles.open(Path.of("models/fable/model"));
    private final AdapterFolder folder = new AdapterFolder(model.shape());
    private final AdapterRegistry registry = new AdapterRegistry();
    private final NativeEngine engine = NativeEngine.create(NativeEngineConfig.cpu(32L << 20), model.manifest());
    private final Service service = service(engine.spec());

    AdapterLeakTest() throws FileRejectedException {}

    private Service service(EngineSpec spec) {
        PoolGeometry pool = new PoolGeometry(spec.pageCount(), spec.pageTokens(), spec.slotsMax(), spec.scratchMax());
        SchedulerLimits limits = new SchedulerLimits(
                spec.contextMax(), spec.vocab(), spec.layerGroups(), 64, 64, 8, 8, spec.slotsMax(), 64, 2);
        return new Service(
                engine,
                new Scheduler(pool, limits, SchedulerPolicies.PLAIN),
                new AdmissionController(new AdmissionLimits(32, 64, 1 << 20, spec.contextMax(), pool, 512, false)),
                registry,
                folder,
                ServingObserver.NONE,
                System::nanoTime,
                Tenants.single(System::nanoTime),
                new ServingOptions(true, 64, 1 << 10, 32L << 20, Duration.ofSeconds(5)));
    }

    @BeforeEach
    void start() {
        service.start();
    }

    @AfterEach
    void stop() {
        service.close();
    }

    @Test
    void noKindOfTheCorpusLeavesAnythingBehind() throws Exception {
        int good = register("good", FABLE.resolve("pirate"));
        Answer before = ask(good);
        assertInstanceOf(SequenceEvent.Finished.class, before.end());
        LoadSnapshot pool = atRest();
        long hostBytes = service.stager().store().bytesUsed();
        assertEquals(hostBytes, engine.stagedBytes());
        List<Path> kinds;
        try (Stream<Path> all = Files.list(CORPUS)) {
            kinds = all.sorted().toList();
        }
        assertTrue(kinds.size() >= 30);
        for (Path kind : kinds) {
            String name = kind.getFileName().toString();
            Answer refused = ask(register(name, kind));
            SequenceEvent.Dropped dropped = assertInstanceOf(SequenceEvent.Dropped.class, refused.end(), name);
            assertEquals(DropReason.ADAPTER_FAILED, dropped.reason(), name);
            assertEquals(List.of(), refused.tokens(), name);
            LoadSnapshot after = atRest();
            assertEquals(pool.pagesFree(), after.pagesFree(), name);
            assertEquals(pool.pagesAdapter(), after.pagesAdapter(), name);
            assertEquals(hostBytes, service.stager().store().bytesUsed(), name);
            assertEquals(hostBytes, engine.stagedBytes(), name);
        }
        assertEquals(before.tokens(), ask(good).tokens());
        registry.remove("good");
        awaitEmpty();
    }

    @Test
    void aReloadStormLeavesNothingBehind(@TempDir Path temporary) throws Exception {
        Path[] contents = {copy("pirate", temporary), copy("shout", temporary)};
        LoadSnapshot empty = atRest();
        List<List<Integer>> expected = new ArrayList<>();
        for (Path content : contents) {
            expected.add(ask(register("hot", content)).tokens());
        }
        assertNotEquals(expected.get(0), expected.get(1), "the two versions can be told apart");
        List<CompletableFuture<Answer>> answers = new ArrayList<>();
        for (int i = 0; i < RELOADS; i++) {
            answers.add(send(register("hot", contents[i % 2])));
            answers.get(Math.max(0, i - 3)).get(30, TimeUnit.SECONDS);
        }
        for (int i = 0; i < RELOADS; i++) {
            Answer answer = answers.get(i).get(30, TimeUnit.SECONDS);
            assertInstanceOf(SequenceEvent.Finished.class, answer.end());
            assertEquals(expected.get(i % 2), answer.tokens(), "reload " + i);
        }
        registry.remove("hot");
        awaitEmpty();
        assertEquals(empty.pagesFree(), atRest().pagesFree());
    }

    private static Path copy(String adapter, Path to) throws IOException {
        Path folder = Files.createDirectories(to.resolve(adapter));
        for (String file : List.of("adapter_config.json", "adapter_model.safetensors")) {
            Files.copy(FABLE.resolve(adapter).resolve(file), folder.resolve(file), StandardCopyOption.REPLACE_EXISTING);
        }
        return folder;
    }

    private int register(String name, Path directory) {
        AdapterEntry entry = registry.add(folder.examine(name, directory));
        return entry.version();
    }

    private Answer ask(int version) throws Exception {
        return send(version).get(30, TimeUnit.SECONDS);
    }

    private CompletableFuture<Answer> send(int version) {
        CompletableFuture<Answer> answer = new CompletableFuture<>();
        List<Integer> tokens = new ArrayList<>();
        TicketListener client = ticket -> ticket.drain(event -> {
            switch (event) {
                case SequenceEvent.Started started -> {}
                case SequenceEvent.Token token -> tokens.add(token.tokenId());
                case SequenceEvent.Finished finished -> answer.complete(new Answer(List.copyOf(tokens), finished));
                case SequenceEvent.Dropped dropped -> answer.complete(new Answer(List.copyOf(tokens), dropped));
            }
        });
        Door door = service.door();
        RequestSpec spec = new RequestSpec(
                door.nextId(),
                0,
                AdapterSet.of(version),
                PROMPT,
                SamplingParams.greedy(ANSWER_TOKENS),
                0,
                0,
                door.nowNanos());
        Door.Decision decision = door.enter(List.of(new Door.Entrant(spec, client)), Runnable::run);
        assertInstanceOf(Door.Decision.Admitted.class, decision);
        return answer;
    }

    /** The pool when no sequence has pages any more. */
    private LoadSnapshot atRest() throws InterruptedException {
        await("sequences give their pages back", () -> {
            LoadSnapshot now = service.door().snapshot();
            return now.runningSequences() == 0 && now.pagesKv() == 0 && now.pagesQuarantined() == 0;
        });
        return service.door().snapshot();
    }

    private void awaitEmpty() throws InterruptedException {
        await("host memory is free", () -> service.stager().store().bytesUsed() == 0);
        await("the engine holds none", () -> engine.stagedBytes() == 0);
        await("no adapter has pages", () -> service.door().snapshot().pagesAdapter() == 0);
        assertEquals(0, service.door().snapshot().residentAdapters().length);
        assertEquals(atRest().pagesTotal(), atRest().pagesFree());
    }

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        for (int i = 0; !condition.getAsBoolean(); i++) {
            assertTrue(i < 30_000, () -> "waited in vain: " + what);
            Thread.sleep(1);
        }
    }
}
