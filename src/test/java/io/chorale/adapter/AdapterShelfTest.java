package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.DropReason;
import io.chorale.core.policy.StepCostModel;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimClock;
import io.chorale.engine.sim.SimulatedEngine;
import io.chorale.engine.sim.SimulatedModel;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a server remembers of its adapters when it comes back. */
class AdapterShelfTest {
    @TempDir
    Path root;

    /** One life of a server. */
    private final class Life implements AutoCloseable {
        final KnownDigests digests = new KnownDigests();
        final AdapterFolder files = new AdapterFolder(MalformedAdapters.BASE, digests);
        final AdapterRegistry registry = new AdapterRegistry();
        final AdapterShelf shelf = new AdapterShelf(files, registry, digests, Optional.of(root.resolve("state")));
        final AdapterStager stager;
        final AdapterAdministration administration;

        Life() throws Exception {
            shelf.open(Optional.of(root.resolve("adapters")));
            SimulatedEngine engine = new SimulatedEngine(new SimulatedEngine.Settings(
                    SimulatedEngine.spec(64, 4, 100, 128, 4),
                    new SimulatedModel(1, 100, 0, 0),
                    StepCostModel.Linear.of(1_000_000),
                    new SimClock.Virtual(),
                    FaultPlan.NONE));
            stager = new AdapterStager(registry, files, engine, 1 << 20, new Idle(), nanos -> {});
            administration = new AdapterAdministration(
                    files,
                    registry,
                    stager,
                    shelf,
                    List.of(root.resolve("adapters"), root.resolve("more")),
                    AdapterSources.NONE,
                    "base",
                    1 << 20);
        }

        String digest(String name) {
            return registry.find(name).orElseThrow().digest();
        }

        /** Reads an adapter as its first request would. */
        void read(String name) throws Exception {
            AdapterEntry entry = registry.find(name).orElseThrow();
            files.read(entry);
            registry.verified(entry.version(), files.digest(entry));
        }

        @Override
        public void close() {
            shelf.close();
            stager.close();
        }
    }

    /** Nobody uses anything. */
    private static final class Idle implements StagingListener {
        @Override
        public void adapterReady(int version, StagedAdapter staged) {}

        @Override
        public void adapterFailed(int version, DropReason reason, String detail) {}

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
    }

    private Path write(String folder, String alpha) throws Exception {
        Map<String, String> config = TestFolders.adapterConfig();
        config.put("lora_alpha", alpha);
        return TestFolders.adapter(root.resolve(folder), config, TestFolders.adapterTensors());
    }

    @BeforeEach
    void twoAdapters() throws Exception {
        write("adapters/a", "4");
        write("adapters/b", "5");
        write("more/c", "6");
        write("more/d", "7");
    }

    /** Its files are deleted in the background, and must not be when they are wanted again. */
    @Test
    void whatGoesAndComesBackAtOnceStays() throws Exception {
        byte[] archive = zipped(root.resolve("more/c"));
        try (Life life = new Life()) {
            life.administration.upload("again", new ByteArrayInputStream(archive));
            for (int i = 0; i < 100; i++) {
                life.administration.remove("again");
                life.administration.upload("again", new ByteArrayInputStream(archive));
            }
            Thread.sleep(50); // what was put off has its turn
            life.read("again");
        }
    }

    /** A request that waits for its adapter has the files read when the name is long gone. */
    @Test
    void whatARequestUsesStaysUntilItHasEnded() throws Exception {
        byte[] archive = zipped(root.resolve("more/c"));
        try (Life life = new Life()) {
            life.administration.upload("used", new ByteArrayInputStream(archive));
            life.administration.upload("same", new ByteArrayInputStream(archive));
            AdapterEntry used = life.registry.find("used").orElseThrow();
            CompletableFuture<Void> request = new CompletableFuture<>();
            CompletableFuture<Void> nobody = CompletableFuture.completedFuture(null);
            life.shelf.begin(
                    Duration.ZERO, version -> version == used.version() ? request : nobody, Duration.ofMillis(1));
            life.administration.upload("other", new ByteArrayInputStream(zipped(root.resolve("more/d"))));
            AdapterEntry other = life.registry.find("other").orElseThrow();
            life.administration.remove("used");
            life.administration.remove("same");
            life.administration.remove("other");
            awaitGone(other); // after what was put off before it
            life.files.read(used);
            request.complete(null);
            awaitGone(used);
        }
    }

    private void awaitGone(AdapterEntry entry) throws InterruptedException {
        Path content = root.resolve("state/content").resolve(entry.digest());
        for (int i = 0; Files.exists(content); i++) {
            assertTrue(i < 1_000, "it never goes");
            Thread.sleep(10);
        }
    }

    private static byte[] zipped(Path folder) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            for (String file : List.of(PeftAdapter.CONFIG, PeftAdapter.WEIGHTS)) {
                zip.putNextEntry(new ZipEntry(file));
                zip.write(Files.readAllBytes(folder.resolve(file)));
            }
        }
        return bytes.toByteArray();
    }

    @Test
    void versionsAliasesPinsAndRemovalsSurviveARestart() throws Exception {
        String c;
        String d;
        String a;
        try (Life first = new Life()) {
            first.administration.load("served", "c", Optional.empty(), true);
            c = first.digest("served");
            first.administration.load("served", "d", Optional.empty(), true);
            d = first.digest("served");
            first.administration.rollBack("served", "");
            first.administration.pin("served");
            first.administration.remove("b");
            first.administration.alias(new AdapterAlias(
                    "support", List.of(new AdapterAlias.Share("a", 95), new AdapterAlias.Share("served", 5))));
            first.read("a");
            a = first.digest("a");
        }
        try (Life second = new Life()) {
            assertEquals(c, second.digest("served"));
            NamedAdapter served = second.registry.named("served").orElseThrow();
            assertEquals(
                    List.of(c, d),
                    served.versions().stream().map(AdapterEntry::digest).toList());
            assertTrue(served.pinned());
            assertEquals(a, second.digest("a"), "what was read once need not be read again");
            assertTrue(second.registry.find("b").isEmpty());
            assertEquals(
                    2,
                    second.shelf
                            .aliases()
                            .find("support")
                            .orElseThrow()
                            .shares()
                            .size());
            second.administration.rollBack("served", d.substring(0, 8));
            assertEquals(d, second.digest("served"));
        }
    }

    @Test
    void aFolderThatChangedMeanwhileIsWhatCounts() throws Exception {
        String before;
        try (Life first = new Life()) {
            first.read("a");
            before = first.digest("a");
        }
        write("adapters/a", "9");
        try (Life second = new Life()) {
            second.read("a");
            assertNotEquals(before, second.digest("a"));
            AdapterEntry old =
                    second.registry.named("a").orElseThrow().versions().getFirst();
            assertEquals(before, old.digest(), "its old version is remembered");
        }
    }

    @Test
    void uploadsSurviveAndUnusedContentsGo() throws Exception {
        Path content = root.resolve("state/content");
        try (Life first = new Life()) {
            first.administration.load("up", "c", Optional.empty(), true);
            first.read("up");
            assertTrue(Files.isDirectory(content.resolve(first.digest("up"))), "links to what was read are kept");
        }
        ContentStore.delete(root.resolve("more/c"));
        Files.createDirectories(content.resolve("0000"));
        try (Life second = new Life()) {
            second.read("up");
            assertFalse(Files.exists(content.resolve("0000")));
            second.administration.remove("up");
        }
        try (Life third = new Life()) {
            assertTrue(third.registry.find("up").isEmpty());
            assertEquals(0, Files.list(content).count());
        }
    }

    @Test
    void aStateThatIsNotOursStopsTheStart() throws Exception {
        Files.createDirectories(root.resolve("state"));
        Files.writeString(root.resolve("state/adapters.json"), "{\"format\":7}");
        assertThrows(FileRejectedException.class, Life::new);
        Files.writeString(root.resolve("state/adapters.json"), "{");
        assertThrows(FileRejectedException.class, Life::new);
    }

    @Test
    void manyAdaptersAreRegisteredWithoutBeingRead() throws Exception {
        for (int i = 0; i < 500; i++) {
            write("adapters/many-" + i, "4");
        }
        try (Life life = new Life()) {
            assertEquals(502, life.registry.names().size());
            assertTrue(life.registry.list().stream()
                    .allMatch(entry -> entry.digest().isEmpty()));
        }
        assertFalse(Files.exists(root.resolve("state/content/x")));
    }
}
