package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.MemoryRule;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Clustering;
import io.chorale.core.policy.PolicySettings.Locality;
import io.chorale.core.policy.PolicySettings.MergeRule;
import io.chorale.core.policy.PolicySettings.Merging;
import io.chorale.core.policy.PolicySettings.Prices;
import io.chorale.core.policy.PolicySettings.Within;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The bound of Sheng et al., theorem 4.4, in random worlds: while two tenants both have somebody waiting, what they are
 * served, by weight, never differs by more than 2 max(w_p L, w_q M) over any span of time, L being the longest prompt and M
 * the tokens of the pool; with clustering and merging, by the quantum more.
 */
class FairnessSimTest {
    private static final int WORLDS = Integer.getInteger("sim.fairness", 500);
    private static final int VOCAB = 50;
    private static final int STEPS = 250;
    private static final int WAITING_EACH = 4;

    @ParameterizedTest
    @ValueSource(longs = {1, 2})
    void plainCountersKeepTheBound(long seed) {
        double closest = 0;
        for (int i = 0; i < WORLDS; i++) {
            World world = new World(new SplittableRandom(seed * 1_000_003 + i), false);
            closest = Math.max(closest, world.play("seed " + seed + ", world " + i));
        }
        System.out.println("plain, seed " + seed + ": at most " + closest + " of the bound");
        assertTrue(closest > 0.02, "worlds in which nothing differs prove nothing: " + closest);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2})
    void clusteringAndMergingAddNoMoreThanTheQuantum(long seed) {
        double closest = 0;
        for (int i = 0; i < WORLDS; i++) {
            World world = new World(new SplittableRandom(seed * 2_000_003 + i), true);
            closest = Math.max(closest, world.play("seed " + seed + ", world " + i));
        }
        System.out.println("with locality, seed " + seed + ": at most " + closest + " of the bound");
        assertTrue(closest > 0.02, "worlds in which nothing differs prove nothing: " + closest);
    }

    /** A server in which some tenants always have somebody waiting and others come and go. */
    private static final class World {
        private final SplittableRandom random;
        private final int tenants;
        private final double[] weights;
        private final double[] presence;
        private final int[] promptMax;
        private final int[] answerMax;
        private final int adapters;
        private final SimServer server;
        private final ServiceGap gap;
        private final double bound;
        private final int[] tenantOf = new int[100_000];
        private final boolean[] started = new boolean[100_000];
        private final int[] waiting;
        private long nextId;

        World(SplittableRandom random, boolean local) {
            this.random = random;
            tenants = 2 + random.nextInt(4);
            weights = random.doubles(tenants, 0.5, 4).toArray();
            presence = random.doubles(tenants, 0.3, 1.7).toArray();
            promptMax = random.ints(tenants, 1, 60).toArray();
            answerMax = random.ints(tenants, 1, 60).toArray();
            waiting = new int[tenants];
            adapters = local ? 1 + random.nextInt(8) : 0;
            PoolGeometry pool = new PoolGeometry(30 + random.nextInt(200), 1 + random.nextInt(8), 6, 0);
            int contextMax = Math.min(128, pool.pageCount() * pool.pageTokens() / 2);
            int sequencesMax = 1 + random.nextInt(16);
            SchedulerLimits limits = new SchedulerLimits(
                    contextMax,
                    VOCAB,
                    1,
                    sequencesMax + random.nextInt(64),
                    1 + random.nextInt(64),
                    sequencesMax,
                    sequencesMax,
                    1 + random.nextInt(6),
                    64,
                    random.nextInt(3));
            Prices prices = new Prices(1, 1 + random.nextInt(3), 0, 0);
            double quantum = local ? random.nextInt(500) : 0;
            PolicySettings settings = PolicySettings.CHORALE
                    .with(Within.values()[random.nextInt(Within.values().length)])
                    .with(prices)
                    .with(new Clustering(local ? Locality.DEFICIT : Locality.NONE, 1, quantum))
                    .with(random.nextBoolean() ? MemoryRule.OPTIMISTIC : MemoryRule.PEAK_DEMAND)
                    .with(Merging.of(local ? anyRule() : MergeRule.ALWAYS_UNMERGED, random.nextBoolean()));
            server = new SimServer(new SimServer.Config(
                            pool,
                            limits,
                            SchedulerPolicies.of(settings, StepCostModel.Linear.LARGE_GPU)
                                    .withWeights(tenant -> weights[tenant]),
                            new SimulatedModel(random.nextLong(), VOCAB, 3, 0.02),
                            FaultPlan.NONE,
                            random.nextInt(2),
                            2,
                            0))
                    .withListener(this::count);
            gap = new ServiceGap(prices, weights);
            double least = java.util.Arrays.stream(weights).min().orElse(1);
            int poolTokens = pool.pageCount() * pool.pageTokens();
            bound = 2 * Math.max(prices.input() * contextMax, prices.output() * poolTokens) / least + quantum;
        }

        private MergeRule anyRule() {
            return MergeRule.values()[random.nextInt(MergeRule.values().length)];
        }

        private void count(SequenceEvent event) {
            int id = (int) event.requestId();
            int tenant = tenantOf[id];
            switch (event) {
                case SequenceEvent.Started start -> {
                    started[id] = true;
                    waiting[tenant]--;
                    gap.prompt(tenant, server.answer(id).spec.promptTokens().length);
                }
                case SequenceEvent.Token token -> gap.token(tenant);
                case SequenceEvent.Finished end -> {
                    if (end.stopTokenId() >= 0) {
                        gap.token(tenant);
                    }
                }
                case SequenceEvent.Dropped drop -> waiting[tenant] -= started[id] ? 0 : 1;
            }
        }

        /** Returns how near to the bound it came, as a share. */
        double play(String name) {
            boolean[] backlogged = new boolean[tenants];
            for (int step = 0; step < STEPS; step++) {
                for (int tenant = 0; tenant < tenants; tenant++) {
                    boolean here = presence[tenant] >= 1 || random.nextDouble() < presence[tenant];
                    while (here && waiting[tenant] < WAITING_EACH) {
                        submit(tenant);
                    }
                }
                server.turn();
                for (int tenant = 0; tenant < tenants; tenant++) {
                    backlogged[tenant] = waiting[tenant] > 0;
                }
                gap.observe(backlogged);
            }
            assertTrue(gap.worst() <= bound, () -> name + ": a gap of " + gap.worst() + ", the bound is " + bound);
            return gap.worst() / bound;
        }

        private void submit(int tenant) {
            int id = (int) nextId++;
            tenantOf[id] = tenant;
            waiting[tenant]++;
            int[] prompt =
                    random.ints(1 + random.nextInt(promptMax[tenant]), 0, VOCAB).toArray();
            AdapterSet set = adapters == 0 || random.nextInt(4) == 0
                    ? AdapterSet.BASE
                    : AdapterSet.of(1 + random.nextInt(adapters));
            SamplingParams sampling = SamplingParams.greedy(1 + random.nextInt(answerMax[tenant]), 3);
            server.submit(new RequestSpec(id, tenant, set, prompt, sampling, 0, 0, server.clock.nanos()));
        }
    }
}
