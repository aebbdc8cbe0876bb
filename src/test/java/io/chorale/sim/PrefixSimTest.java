package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.PrefixState;
import io.chorale.core.model.Priority;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import io.chorale.workload.ArrivalProcess;
import io.chorale.workload.NumpyRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Pages that several requests share. That every token is what the request alone would get, and that no page is lost or
 * touched by two, is checked by {@link SimServer} and its engine in all of them.
 */
class PrefixSimTest {
    private static final PrefixCaching ON = new PrefixCaching(true, 4711);
    private static final int PAGE = 4;
    private static final int VOCAB = 50;
    private static final int WORLDS = Integer.getInteger("sim.swarm", 400);

    private static SimServer server(int pages, int lookAhead) {
        SchedulerLimits limits = new SchedulerLimits(128, VOCAB, 1, 64, 32, 16, 16, 16, 4, 0);
        return new SimServer(new SimServer.Config(
                new PoolGeometry(pages, PAGE, 16, 1),
                limits,
                SchedulerPolicies.PLAIN,
                new SimulatedModel(9, VOCAB, 3, 0),
                FaultPlan.NONE,
                lookAhead,
                2,
                0,
                ON));
    }

    private static int[] document(int tokens) {
        return IntStream.range(0, tokens).map(i -> (i * 7 + 5) % VOCAB).toArray();
    }

    private static RequestSpec request(long id, int tenant, AdapterSet adapters, int[] prompt, long salt, int from) {
        return new RequestSpec(
                id, tenant, adapters, prompt, SamplingParams.greedy(6), 0, salt, 0, Priority.NORMAL, from);
    }

    private static RequestSpec request(long id, int[] prompt) {
        return request(id, 0, AdapterSet.BASE, prompt, 0, 0);
    }

    private static int cached(SimServer server, RequestSpec spec) {
        server.submit(spec);
        server.runUntilIdle();
        if (server.answer(spec.id()).end instanceof SequenceEvent.Finished finished) {
            return finished.usage().cachedTokens();
        }
        throw new AssertionError(server.answer(spec.id()).end.toString());
    }

    private static int[] then(int[] prompt, int... more) {
        return IntStream.concat(IntStream.of(prompt), IntStream.of(more)).toArray();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void onlyTheLastTokenAndWhatFillsNoPageIsComputedAgain(int lookAhead) {
        SimServer server = server(40, lookAhead);
        assertEquals(0, cached(server, request(1, document(16))));
        assertEquals(12, cached(server, request(2, document(16))), "the last token draws the first of the answer");
        assertEquals(16, cached(server, request(3, document(17))));
        assertEquals(8, cached(server, request(4, document(11))));
        assertEquals(0, cached(server, request(5, document(4))));
        assertEquals(4, cached(server, request(6, then(document(6), 1, 2, 3))));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void aConversationIsComputedOnce(int lookAhead) {
        SimServer server = server(60, lookAhead);
        int[] prompt = document(9);
        long rows = 0;
        for (int turn = 0; turn < 8; turn++) {
            int cached = cached(server, request(turn, prompt));
            // The last token of an answer is drawn and never fed.
            int before = turn == 0 ? 0 : (prompt.length - 3 - 1) / PAGE * PAGE;
            assertEquals(before, cached, "turn " + turn);
            rows += prompt.length - cached + 5;
            int[] answer = server.answer(turn).tokens.stream()
                    .mapToInt(Integer::intValue)
                    .toArray();
            prompt = then(then(prompt, answer), 7, 8, 9);
        }
        LoadSnapshot load = server.scheduler.snapshot();
        assertTrue(load.rows() >= rows && load.rows() <= rows + 8, load.rows() + " rows, " + rows + " needed");
    }

    /** Those who came at the same time computed the same; from then on they hold it once. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void whatSeveralComputedAtOnceIsKeptOnce(int lookAhead) {
        SimServer server = server(60, lookAhead);
        for (int id = 0; id < 8; id++) {
            server.submit(request(id, document(16)));
        }
        while (server.answer(7).tokens.isEmpty()) {
            server.turn();
        }
        LoadSnapshot load = server.scheduler.snapshot();
        assertEquals(8, load.runningSequences());
        assertTrue(load.pagesKv() <= 4 + 8, load.pagesKv() + " pages, not four of all and one of each");
        server.runUntilIdle();
        assertEquals(0, server.scheduler.snapshot().pagesKv());
    }

    @Test
    void nobodyFindsWhatAnotherTenantOrSaltOrAdapterComputed() {
        SimServer server = server(60, 1);
        int[] prompt = document(17);
        AdapterSet half = new AdapterSet(new int[] {1}, new float[] {0.5f});
        assertEquals(0, cached(server, request(1, 0, AdapterSet.BASE, prompt, 0, 0)));
        assertEquals(0, cached(server, request(2, 1, AdapterSet.BASE, prompt, 0, 0)), "another tenant");
        assertEquals(0, cached(server, request(3, 0, AdapterSet.BASE, prompt, 7, 0)), "another salt");
        assertEquals(0, cached(server, request(4, 0, AdapterSet.of(1), prompt, 0, 0)), "an adapter");
        assertEquals(0, cached(server, request(5, 0, AdapterSet.of(2), prompt, 0, 0)), "another adapter");
        assertEquals(0, cached(server, request(6, 0, half, prompt, 0, 0)), "another scale");
        assertEquals(16, cached(server, request(7, 1, AdapterSet.BASE, prompt, 0, 0)));
        assertEquals(16, cached(server, request(8, 0, AdapterSet.BASE, prompt, 7, 0)));
        assertEquals(16, cached(server, request(9, 0, AdapterSet.of(2), prompt, 0, 0)));
    }

    /** The document is computed once, for all adapters together. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void activatedAdaptersShareTheBasesPages(int lookAhead) {
        SimServer server = server(200, lookAhead);
        int[] document = document(42);
        for (int version = 1; version <= 10; version++) {
            int[] prompt = then(document, 11, 12, version);
            int cached = cached(server, request(version, 0, AdapterSet.of(version), prompt, 0, document.length));
            assertEquals(version == 1 ? 0 : 40, cached);
        }
        assertEquals(40, cached(server, request(20, document)), "the base shares it too");
        // Pages from the first token on that the adapter acts on are its own; one that begins earlier shares less.
        int[] prompt = then(document, 11, 12, 1);
        assertEquals(44, cached(server, request(21, 0, AdapterSet.of(1), prompt, 0, 42)));
        assertEquals(40, cached(server, request(22, 0, AdapterSet.of(1), prompt, 0, 41)));
        assertEquals(20, cached(server, request(23, 0, AdapterSet.of(1), prompt, 0, 21)));
    }

    @Test
    void countedTokensAreComputed() {
        SimServer server = server(60, 1);
        cached(server, request(1, document(17)));
        SamplingParams counting =
                new SamplingParams(0, 0, 1, 0, 1.2f, 0, 0, 1, 4, 0, new int[0], -1, new int[0], new float[0]);
        assertEquals(0, cached(server, new RequestSpec(2, 0, AdapterSet.BASE, document(17), counting, 0, 0, 0)));
        assertEquals(16, cached(server, request(3, document(17))));
    }

    /** Cached pages are as good as free: they stop nobody, and the oldest go first. */
    @Test
    void cachedPagesGiveWayToEverything() {
        SimServer server = server(12, 0);
        cached(server, request(1, document(17)));
        assertEquals(5, server.scheduler.snapshot().prefixes().pagesCached());
        int[] other = IntStream.range(0, 20).map(i -> 40 - i).toArray();
        cached(server, request(2, other));
        assertEquals(0, server.scheduler.snapshot().preemptions());
        int[] another = IntStream.range(0, 20).map(i -> i % 3).toArray();
        cached(server, request(3, 0, AdapterSet.of(1), another, 0, 0)); // 7 pages and 2 of the adapter
        PrefixState prefixes = server.scheduler.snapshot().prefixes();
        assertTrue(prefixes.pagesEvicted() > 0, prefixes.toString());
        assertEquals(0, server.scheduler.snapshot().evictions(), "no adapter had to go");
        assertEquals(0, server.scheduler.snapshot().preemptions());
    }

    @Test
    void anAdapterThatGoesLeavesNothingBehind() {
        SimServer server = server(60, 0);
        cached(server, request(1, 0, AdapterSet.of(1), document(17), 0, 9));
        cached(server, request(2, 0, AdapterSet.of(2), document(17), 0, 0));
        assertEquals(10, server.scheduler.snapshot().prefixes().pagesCached());
        server.scheduler.adapterRetired(1);
        assertEquals(7, server.scheduler.snapshot().prefixes().pagesCached(), "the base's two pages stay");
        server.scheduler.verify();
        server.stage(1);
        assertEquals(8, cached(server, request(3, 0, AdapterSet.of(1), document(17), 0, 9)));
    }

    /** Everything at once: few documents, small vocabularies, evictions, preemptions, cancels, faults and merges. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void sharingChangesNoAnswer(long seed) {
        long found = 0;
        long evicted = 0;
        long preemptions = 0;
        long finished = 0;
        for (int i = 0; i < WORLDS; i++) {
            SplittableRandom random = new SplittableRandom(seed * 1_000_003 + i);
            SimServer.Config config =
                    SwarmSimTest.config(random).withCaching(new PrefixCaching(true, random.nextInt(3)));
            List<RandomRequests.Arrival> arrivals = arrivals(random, config);
            try {
                SimRun run = new SimRun(config, arrivals, random.nextLong(), 1 + random.nextInt(20)).play();
                LoadSnapshot load = run.server.scheduler.snapshot();
                found += load.prefixes().tokensFound();
                evicted += load.prefixes().pagesEvicted();
                preemptions += load.preemptions();
                finished += run.finished();
            } catch (RuntimeException | AssertionError broken) {
                throw new AssertionError("seed " + seed + ", server " + i + ": " + config, broken);
            }
        }
        String all = finished + " finished, " + found + " tokens found, " + evicted + " pages evicted, " + preemptions
                + " preemptions";
        System.out.println("seed " + seed + ": " + all);
        boolean covered =
                finished > 10L * WORLDS && found > 50L * WORLDS && evicted > 20L * WORLDS && preemptions > WORLDS / 10;
        assertTrue(covered, all);
    }

    private static List<RandomRequests.Arrival> arrivals(SplittableRandom random, SimServer.Config config) {
        int symbols = 1 + random.nextInt(3);
        int[][] documents = new int[1 + random.nextInt(4)][];
        for (int d = 0; d < documents.length; d++) {
            documents[d] = tokens(1 + random.nextInt(config.limits().contextMax()), symbols, random);
        }
        int adapters = 1 + random.nextInt(5);
        ArrivalProcess process = new ArrivalProcess(5 + random.nextInt(300), 0.5 + 3 * random.nextDouble());
        NumpyRandom times = new NumpyRandom(random.nextInt());
        List<RandomRequests.Arrival> arrivals = new ArrayList<>();
        long now = 0;
        for (int id = 0; id < 80; id++) {
            now += (long) (1e9 * process.nextGapSeconds(times));
            int[] document = documents[random.nextInt(documents.length)];
            int cut = random.nextBoolean() ? document.length : random.nextInt(document.length);
            int[] prompt =
                    then(IntStream.of(document).limit(cut).toArray(), tokens(1 + random.nextInt(6), symbols, random));
            boolean base = random.nextInt(3) == 0;
            int version = 1 + random.nextInt(adapters);
            boolean activated = !base && random.nextBoolean();
            int from = activated ? Math.min(prompt.length - 1, cut + random.nextInt(3)) : 0;
            SamplingParams sampling = new SamplingParams(
                    1,
                    0,
                    1,
                    0,
                    random.nextInt(10) == 0 ? 1.1f : 1,
                    0,
                    0,
                    random.nextInt(4),
                    1 + random.nextInt(40),
                    0,
                    new int[] {3},
                    -1,
                    new int[0],
                    new float[0]);
            RequestSpec spec = new RequestSpec(
                    id,
                    random.nextInt(2),
                    base ? AdapterSet.BASE : AdapterSet.of(version),
                    prompt,
                    sampling,
                    random.nextInt(4) == 0 ? 1_000_000_000L : 0,
                    random.nextInt(2),
                    now,
                    Priority.values()[random.nextInt(3)],
                    from);
            long cancel = random.nextInt(5) == 0 ? now + random.nextLong(2_000_000_000) : Long.MAX_VALUE;
            arrivals.add(new RandomRequests.Arrival(spec, cancel));
        }
        return arrivals;
    }

    private static int[] tokens(int count, int symbols, SplittableRandom random) {
        return IntStream.range(0, count).map(i -> 5 + random.nextInt(symbols)).toArray();
    }
}
