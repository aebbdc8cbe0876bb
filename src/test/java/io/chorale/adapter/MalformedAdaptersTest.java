package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.SafetensorsWriter.Values;
import io.chorale.core.model.DropReason;
import io.chorale.core.policy.StepCostModel;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimClock;
import io.chorale.engine.sim.SimulatedEngine;
import io.chorale.engine.sim.SimulatedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Every kind of broken adapter is refused in words that name the fault, nothing of it is loaded and nothing is kept. */
class MalformedAdaptersTest {
    private static Stream<String> folders() throws IOException {
        if (System.getProperty("corpus.update") != null) {
            MalformedAdapters.write(MalformedAdapters.CORPUS);
        }
        try (Stream<Path> folders = Files.list(MalformedAdapters.CORPUS)) {
            return folders.map(folder -> folder.getFileName().toString()).sorted().toList().stream();
        }
    }

    @Test
    void theCorpusHasEveryKindThatIsKnownHowToMake() throws IOException {
        Set<String> made = MalformedAdapters.all().stream()
                .map(MalformedAdapters.Kind::name)
                .collect(Collectors.toSet());
        assertEquals(made, folders().collect(Collectors.toSet()));
        assertTrue(made.size() >= 30);
    }

    @ParameterizedTest
    @MethodSource("folders")
    void isRefusedInWordsThatNameTheFault(String name) throws Exception {
        Path folder = MalformedAdapters.CORPUS.resolve(name);
        List<String> wanted = Files.readAllLines(folder.resolve("refusal.txt"));
        AdapterFolder adapters = new AdapterFolder(MalformedAdapters.BASE);
        FileRejectedException rejected = assertThrows(FileRejectedException.class, () -> adapters.verify(name, folder));
        for (String sentence : wanted) {
            assertTrue(
                    rejected.problems().stream().anyMatch(problem -> problem.contains(sentence)),
                    () -> "'" + sentence + "' is not among " + rejected.problems());
        }
        assertTrue(rejected.problems().size() >= wanted.size());
        rejected.problems().forEach(problem -> assertTrue(problem.contains(name), problem + " does not name the file"));
    }

    @ParameterizedTest
    @CsvSource({"F32,65504", "F16,-65504", "BF16,65280"})
    void numbersAsLargeAsFloat16HoldsAreTaken(String type, float largest, @TempDir Path folder) throws Exception {
        Map<String, Values> tensors = TestFolders.adapterTensors();
        tensors.replaceAll((name, values) -> new Values(type, values.shape(), values.values()));
        tensors.getOrDefault(MalformedAdapters.Q0A, TestFolders.zeros(0)).values()[3] = largest;
        TestFolders.adapter(folder, TestFolders.adapterConfig(), tensors);
        assertDoesNotThrow(() -> new AdapterFolder(MalformedAdapters.BASE).verify("large", folder));
    }

    /** As a request would meet it: registered with its folder, staged, failed; and the good one beside it is served. */
    @ParameterizedTest
    @MethodSource("folders")
    void isNeverLoadedAndLeavesNothingBehind(String name, @TempDir Path folder) throws Exception {
        copy(MalformedAdapters.CORPUS.resolve(name), folder.resolve("bad"));
        TestFolders.adapter(folder.resolve("good"), TestFolders.adapterConfig(), TestFolders.adapterTensors());
        AdapterFolder adapters = new AdapterFolder(MalformedAdapters.BASE);
        AdapterRegistry registry = new AdapterRegistry();
        adapters.scan(folder, registry);
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        try (AdapterStager stager =
                new AdapterStager(registry, adapters, engine(), 1 << 20, listener(events), nanos -> {})) {
            int bad = registry.find("bad").orElseThrow().version();
            stager.stage(bad);
            assertEquals("failed " + bad + " ADAPTER_FAILED", events.poll(10, TimeUnit.SECONDS));
            assertEquals(0, stager.store().bytesUsed());
            assertFalse(registry.find("bad").orElseThrow().usable(), "what was found is remembered");
            int good = registry.find("good").orElseThrow().version();
            stager.stage(good);
            assertEquals("ready " + good, events.poll(10, TimeUnit.SECONDS));
        }
    }

    private static StagingListener listener(BlockingQueue<String> events) {
        return new StagingListener() {
            @Override
            public void adapterReady(int version, StagedAdapter staged) {
                events.add("ready " + version);
            }

            @Override
            public void adapterFailed(int version, DropReason reason, String detail) {
                events.add("failed " + version + " " + reason);
            }

            @Override
            public CompletableFuture<Boolean> adapterRetired(int version) {
                return CompletableFuture.completedFuture(true);
            }

            @Override
            public CompletableFuture<Void> adapterUnused(int version) {
                return CompletableFuture.completedFuture(null);
            }

            @Override
            public CompletableFuture<Boolean> adapterGone(int version) {
                return CompletableFuture.completedFuture(true);
            }
        };
    }

    /** An engine that takes what it is given. */
    private static SimulatedEngine engine() {
        return new SimulatedEngine(new SimulatedEngine.Settings(
                SimulatedEngine.spec(64, 4, 100, 128, 4),
                new SimulatedModel(1, 100, 0, 0),
                StepCostModel.Linear.of(1_000_000),
                new SimClock.Virtual(),
                FaultPlan.NONE));
    }

    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> all = Files.walk(from)) {
            for (Path path : all.toList()) {
                Files.copy(path, to.resolve(from.relativize(path).toString()));
            }
        }
    }
}
