package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * Random worlds with and without requests that are refused: the plans are the same to the last bit, so that what was refused
 * has left no trace, in no queue, account or count.
 */
class RefusalSimTest {
    private static final int WORLDS = Integer.getInteger("sim.refusals", 300);
    private static final long FIRST_ID = 1_000_000;

    private enum Why {
        PROMPT_TOO_LONG,
        TOKEN_UNKNOWN,
        TOO_MANY_ADAPTERS,
        POOL_TOO_SMALL
    }

    private final Map<Why, Integer> refused = new EnumMap<>(Why.class);
    private long nextId = FIRST_ID;

    @Test
    void whatIsRefusedLeavesNoTrace() {
        for (int i = 0; i < WORLDS; i++) {
            assertEquals(trace(i, false), trace(i, true), "world " + i);
        }
        for (Why why : Why.values()) {
            assertTrue(refused.getOrDefault(why, 0) > 100, () -> "refused: " + refused);
        }
    }

    private List<String> trace(long seed, boolean intruded) {
        SplittableRandom random = new SplittableRandom(seed * 9_000_011);
        SimServer.Config config = SwarmSimTest.config(random);
        SimRun run = new SimRun(config, SwarmSimTest.workload(random, config), seed, 5);
        run.server.withTrace();
        SplittableRandom intruders = new SplittableRandom(seed);
        if (intruded) {
            run.withBeforeTurn(server -> intrude(server, config, intruders));
        }
        return run.play().server.trace;
    }

    private void intrude(SimServer server, SimServer.Config config, SplittableRandom random) {
        Why why = Why.values()[random.nextInt(Why.values().length)];
        if (server.dead || (why == Why.POOL_TOO_SMALL && !poolMayBeTooSmall(config))) {
            return;
        }
        Answer answer = server.submitHopeless(request(why, config, server.clock.nanos(), random));
        SequenceEvent.Dropped dropped = assertInstanceOf(SequenceEvent.Dropped.class, answer.end, why.name());
        assertEquals(DropReason.REFUSED, dropped.reason());
        refused.merge(why, 1, Integer::sum);
    }

    /** Whether a prompt that the context holds may be more than the pool holds. */
    private static boolean poolMayBeTooSmall(SimServer.Config config) {
        int poolTokens = config.geometry().pageCount() * config.geometry().pageTokens();
        return poolTokens + 2 < config.limits().contextMax();
    }

    private RequestSpec request(Why why, SimServer.Config config, long now, SplittableRandom random) {
        int contextMax = config.limits().contextMax();
        AdapterSet adapters = AdapterSet.BASE;
        int[] prompt = new int[1];
        switch (why) {
            case PROMPT_TOO_LONG -> prompt = new int[contextMax];
            case TOKEN_UNKNOWN -> prompt[0] = config.limits().vocab();
            case TOO_MANY_ADAPTERS -> adapters = manyAdapters(config.geometry().slotsMax() + 1);
            case POOL_TOO_SMALL -> prompt = new int[contextMax - 1];
        }
        return new RequestSpec(
                nextId++,
                random.nextInt(5),
                adapters,
                prompt,
                SamplingParams.greedy(4),
                random.nextInt(2) * 1_000_000_000L,
                0,
                now);
    }

    /** Versions that other requests name, too. */
    private static AdapterSet manyAdapters(int count) {
        int[] versions = new int[count];
        float[] scales = new float[count];
        for (int i = 0; i < count; i++) {
            versions[i] = 1 + i;
            scales[i] = 1;
        }
        return new AdapterSet(versions, scales);
    }
}
