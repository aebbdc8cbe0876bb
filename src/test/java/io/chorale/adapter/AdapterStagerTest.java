package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.DropReason;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Staging against a fake engine: once each, within the budget, and only what nobody uses is released. */
class AdapterStagerTest {
    private static final long BYTES_EACH = 100;

    /** Stages at once; a version is its handle less one. */
    private static final class FakeEngine implements Engine {
        final Set<Long> held = new ConcurrentSkipListSet<>();
        final List<String> staged = new ArrayList<>();
        CountDownLatch gate = new CountDownLatch(0);

        @Override
        public StagedAdapter stage(AdapterWeights weights) {
            try {
                gate.await();
            } catch (InterruptedException stopped) {
                throw new IllegalStateException(stopped);
            }
            if (weights.name().equals("bad")) {
                throw new EngineFault(EngineFault.Kind.REJECTED_INPUT, "NaN in layer 0");
            }
            long handle = weights.weightBytes() + 1;
            synchronized (staged) {
                staged.add(weights.name());
            }
            assertTrue(held.add(handle), "staged twice at the same time");
            return new StagedAdapter(handle, 1, BYTES_EACH);
        }

        @Override
        public void release(StagedAdapter adapter) {
            assertTrue(held.remove(adapter.handle()), "released twice");
        }

        @Override
        public long stagedBytes() {
            throw new AssertionError("staging asks for none of this");
        }

        @Override
        public EngineSpec spec() {
            throw new AssertionError("staging asks for none of this");
        }

        @Override
        public void begin(StepPlan plan) {
            throw new AssertionError("staging asks for none of this");
        }

        @Override
        public StepOutcome await() {
            throw new AssertionError("staging asks for none of this");
        }

        @Override
        public void close() {}
    }

    /** The serving thread's side: events in order, and answers by hand or by a set of versions in use. */
    private static final class FakeServing implements StagingListener {
        final BlockingQueue<String> events = new LinkedBlockingQueue<>();
        final Set<Integer> inUse = new ConcurrentSkipListSet<>();
        final BlockingQueue<CompletableFuture<Boolean>> open = new LinkedBlockingQueue<>();
        final BlockingQueue<CompletableFuture<Boolean>> farewells = new LinkedBlockingQueue<>();
        volatile boolean answersByHand;

        @Override
        public void adapterReady(int version, StagedAdapter staged) {
            events.add("ready " + version);
        }

        @Override
        public void adapterFailed(int version, DropReason reason, String detail) {
            events.add((reason.retryable() ? "no room for " : "failed ") + version + ": " + detail);
        }

        @Override
        public CompletableFuture<Boolean> adapterRetired(int version) {
            events.add("retired " + version);
            CompletableFuture<Boolean> gone = new CompletableFuture<>();
            if (inUse.contains(version)) {
                farewells.add(gone);
            } else {
                gone.complete(true);
            }
            return gone;
        }

        @Override
        public CompletableFuture<Void> adapterUnused(int version) {
            return CompletableFuture.completedFuture(null);
        }

        @Override
        public CompletableFuture<Boolean> adapterGone(int version) {
            events.add("gone? " + version);
            if (answersByHand) {
                CompletableFuture<Boolean> answer = new CompletableFuture<>();
                open.add(answer);
                return answer;
            }
            return CompletableFuture.completedFuture(!inUse.contains(version));
        }

        void expect(String event) throws InterruptedException {
            assertEquals(event, events.poll(10, TimeUnit.SECONDS));
        }

        /** Whatever comes before it. */
        void await(String event) throws InterruptedException {
            for (String next = ""; !event.equals(next); ) {
                next = events.poll(10, TimeUnit.SECONDS);
                assertNotNull(next, "there is no " + event);
            }
        }
    }

    private final FakeEngine engine = new FakeEngine();
    private final FakeServing serving = new FakeServing();
    private final AdapterRegistry registry = new AdapterRegistry();
    private final AdapterSource source = entry -> {
        if (entry.name().equals("unreadable")) {
            throw new FileRejectedException("gone from the disk");
        }
        return new AdapterWeights(entry.name(), entry.version(), ByteBuffer.allocateDirect(0));
    };
    private final AdapterStager stager =
            new AdapterStager(registry, source, engine, 3 * BYTES_EACH, serving, nanos -> {});

    @AfterEach
    void nothingIsLeftBehind() {
        stager.close();
        assertTrue(engine.held.isEmpty());
    }

    private int add(String name, String... problems) {
        return registry.add(new AdapterEntry(
                        AdapterEntry.UNREGISTERED,
                        name,
                        Path.of(name),
                        AdapterFacts.UNKNOWN,
                        "",
                        "",
                        List.of(problems)))
                .version();
    }

    private void stage(int version) throws InterruptedException {
        stager.stage(version);
        serving.expect("ready " + version);
        // The listener hears it a moment before the store may give it up again.
        while (!stager.store().staged().contains(version)) {
            Thread.onSpinWait();
        }
    }

    @Test
    void anAdapterIsReadOnceHoweverOftenItIsWanted() throws Exception {
        int version = add("a");
        engine.gate = new CountDownLatch(1);
        for (int i = 0; i < 100; i++) {
            stager.stage(version);
        }
        engine.gate.countDown();
        serving.expect("ready 0");
        stager.stage(version);
        assertEquals(List.of("a"), engine.staged);
        assertTrue(serving.events.isEmpty());
        assertEquals(BYTES_EACH, stager.store().bytesUsed());
    }

    @Test
    void failuresAreSaidAndMayBeTriedAgain() throws Exception {
        int refused = add("refused", "no A", "no B");
        int unreadable = add("unreadable");
        int bad = add("bad");
        stager.stage(refused);
        serving.expect("failed " + refused + ": no A; no B");
        stager.stage(unreadable);
        serving.expect("failed " + unreadable + ": gone from the disk");
        for (int i = 0; i < 2; i++) {
            stager.stage(bad);
            serving.expect("failed " + bad + ": NaN in layer 0");
        }
        assertEquals(0, stager.store().bytesUsed());
    }

    @Test
    void theLeastRecentlyWantedLeavesUnlessItIsInUse() throws Exception {
        int[] v = {add("a"), add("b"), add("c"), add("d")};
        stage(v[0]);
        stage(v[1]);
        stage(v[2]);
        stager.stage(v[0]); // wanted again: b is the oldest now
        serving.inUse.add(v[1]);
        stager.stage(v[3]);
        serving.expect("gone? " + v[1]);
        serving.expect("gone? " + v[2]);
        serving.expect("ready " + v[3]);
        assertEquals(Set.of(v[0] + 1L, v[1] + 1L, v[3] + 1L), engine.held);
        assertEquals(3 * BYTES_EACH, stager.store().bytesUsed());
    }

    @Test
    void whenAllAreInUseTheNewOneFailsAndNothingIsReleased() throws Exception {
        for (String name : List.of("a", "b", "c")) {
            int version = add(name);
            stage(version);
            serving.inUse.add(version);
        }
        int version = add("d");
        stager.stage(version);
        for (int asked = 0; asked < 3; asked++) {
            serving.expect("gone? " + asked);
        }
        String failed = String.valueOf(serving.events.poll(10, TimeUnit.SECONDS));
        assertTrue(failed.startsWith("no room for 3: adapter 'd' takes 100 bytes of host memory, of 300"), failed);
        assertEquals(Set.of(1L, 2L, 3L), engine.held);
    }

    @Test
    void oneThatIsWantedWhileItGoesIsReadAgain() throws Exception {
        for (String name : List.of("a", "b", "c", "d")) {
            add(name);
        }
        stage(0);
        stage(1);
        stage(2);
        serving.answersByHand = true;
        stager.stage(3);
        serving.expect("gone? 0");
        CompletableFuture<Boolean> answer = serving.open.take();
        serving.answersByHand = false;
        stager.stage(0);
        answer.complete(true);
        List<String> events = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            events.add(String.valueOf(serving.events.poll(10, TimeUnit.SECONDS)));
        }
        assertTrue(events.containsAll(List.of("ready 3", "ready 0", "gone? 1")), events::toString);
        assertEquals(Set.of(1L, 3L, 4L), engine.held);
    }

    @Test
    void aReplacedVersionLeavesAtOnceWhenNobodyUsesIt() throws Exception {
        int old = add("a");
        stage(old);
        add("a");
        serving.expect("retired " + old);
        awaitBytes(0);
        assertTrue(engine.held.isEmpty());
    }

    @Test
    void aReplacedVersionInUseLeavesAfterItsLastRequest() throws Exception {
        int old = add("a");
        stage(old);
        serving.inUse.add(old);
        add("a");
        serving.expect("retired " + old);
        CompletableFuture<Boolean> farewell = serving.farewells.take();
        stager.stage(old); // one that looked its name up just before
        assertEquals(BYTES_EACH, stager.store().bytesUsed());
        farewell.complete(true);
        awaitBytes(0);
        assertTrue(serving.events.isEmpty(), serving.events::toString);
    }

    @Test
    void aVersionRemovedWhileItIsReadLeavesWhenItHasCome() throws Exception {
        int version = add("a");
        engine.gate = new CountDownLatch(1);
        stager.stage(version);
        registry.remove("a");
        engine.gate.countDown();
        serving.expect("ready " + version);
        serving.expect("retired " + version);
        awaitBytes(0);
    }

    @Test
    void aVersionThatIsWantedAfterItWasGivenUpIsReadAgain() throws Exception {
        int old = add("a");
        stage(old);
        serving.inUse.add(old);
        add("a");
        serving.expect("retired " + old);
        CompletableFuture<Boolean> farewell = serving.farewells.take();
        registry.point("a", old);
        farewell.complete(true);
        awaitBytes(0);
        stage(old);
        assertEquals(BYTES_EACH, stager.store().bytesUsed());
    }

    @Test
    void aPinnedVersionStaysAndItsSuccessorIsPinned() throws Exception {
        int pinned = add("a");
        registry.pin("a", true);
        stager.store().pin(pinned);
        for (int version : new int[] {pinned, add("b"), add("c")}) {
            stage(version);
        }
        int d = add("d");
        stager.stage(d);
        serving.expect("gone? 1");
        serving.expect("ready " + d);
        int successor = add("a");
        serving.expect("retired " + pinned);
        // If its successor wants room before it has left, another is asked to go.
        serving.await("ready " + successor);
        assertTrue(stager.store().isPinned(successor));
        assertTrue(!stager.store().isPinned(pinned));
    }

    private void awaitBytes(long bytes) throws InterruptedException {
        for (int i = 0; stager.store().bytesUsed() != bytes; i++) {
            assertTrue(i < 10_000, "the host store never has " + bytes + " bytes");
            Thread.sleep(1);
        }
    }
}
