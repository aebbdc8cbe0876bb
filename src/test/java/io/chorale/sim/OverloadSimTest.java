package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Within;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * A tenant that sends twice what there is room for, and one that sends little: with the adaptive order within a tenant the
 * first is served newest first, as many as in order of arrival but at once, and the other notices nothing.
 */
class OverloadSimTest {
    private static final long OBJECTIVE = 1_000_000_000;
    private static final int MODEST = 1;
    private static final int FLOODING = 0;
    /** One sequence at a time, 10 ms a step, 4 tokens an answer: 25 requests a second. */
    private static final long FLOOD_EVERY_NANOS = 20_000_000;

    private static final long MODEST_EVERY_NANOS = 500_000_000;
    private static final long END_NANOS = 20_000_000_000L;
    /** By when the first had to be given up. */
    private static final long OVERLOADED_NANOS = 4_000_000_000L;

    /** What one tenant's requests of the overload waited for, of those that were served, in order of arrival. */
    private record Waits(List<Long> flooding, List<Long> modest) {}

    private static SimServer server(Within within) {
        return new SimServer(new SimServer.Config(
                new PoolGeometry(100, 4, 2, 0),
                new SchedulerLimits(64, 50, 1, 16, 8, 1, 1, 1, 64, 0),
                SchedulerPolicies.of(
                        PolicySettings.CHORALE.with(within), new StepCostModel.Linear(10_000_000, 0, 0, 0, 0, 0, 0, 0)),
                new SimulatedModel(9, 50, 3, 0),
                FaultPlan.NONE,
                0,
                1,
                0));
    }

    private static RequestSpec request(long id, int tenant, long objective, long arrivalNanos) {
        RequestSpec spec = Requests.of(id, 4, 4).ttft(objective).at(arrivalNanos);
        return new RequestSpec(
                id, tenant, spec.adapters(), spec.promptTokens(), spec.sampling(), objective, 0, arrivalNanos);
    }

    private static Waits play(SimServer server) {
        long id = 0;
        long floodNext = 0;
        long modestNext = 0;
        while (server.clock.nanos() < END_NANOS) {
            long now = server.clock.nanos();
            for (; floodNext <= now; floodNext += FLOOD_EVERY_NANOS) {
                server.submit(request(id++, FLOODING, OBJECTIVE, floodNext));
            }
            for (; modestNext <= now; modestNext += MODEST_EVERY_NANOS) {
                server.submit(request(id++, MODEST, OBJECTIVE, modestNext));
            }
            server.turn();
        }
        server.runUntilIdle();
        Waits waits = new Waits(new ArrayList<>(), new ArrayList<>());
        for (Answer answer : server.answers.values()) {
            boolean late = answer.spec.arrivalNanos() >= OVERLOADED_NANOS;
            if (late && answer.started != null) {
                (answer.spec.tenant() == FLOODING ? waits.flooding : waits.modest).add(answer.started.queuedNanos());
            }
        }
        return waits;
    }

    private static long median(List<Long> waits) {
        return waits.stream().sorted().skip(waits.size() / 2).findFirst().orElseThrow();
    }

    @Test
    void inOverloadTheLatestAreServedAtOnceAndAsManyAsBefore() {
        Waits adaptive = play(server(Within.ADAPTIVE));
        Waits arrival = play(server(Within.ARRIVAL));
        assertTrue(median(arrival.flooding) > OBJECTIVE * 3 / 4, "in order of arrival everybody is just in time");
        assertTrue(median(adaptive.flooding) < OBJECTIVE / 10, () -> "waits " + adaptive.flooding);
        assertTrue(adaptive.flooding.size() >= arrival.flooding.size() * 0.95, "as many are served");
    }

    /** They would hold places behind the door, and their clients try elsewhere the sooner. */
    @Test
    void whoseTurnWillNotComeIsGivenUpBeforeItsTimeIsOver() {
        List<Long> ends = new ArrayList<>();
        SimServer[] server = new SimServer[1];
        server[0] = server(Within.ADAPTIVE).withListener(event -> {
            Answer answer = server[0].answer(event.requestId());
            if (event instanceof SequenceEvent.Dropped && answer.spec.arrivalNanos() >= OVERLOADED_NANOS) {
                assertEquals(FLOODING, answer.spec.tenant());
                ends.add(server[0].clock.nanos() - answer.spec.arrivalNanos());
            }
        });
        play(server[0]);
        assertTrue(ends.size() > 100, () -> ends.size() + " were given up");
        assertTrue(median(ends) < OBJECTIVE * 95 / 100, () -> "waits " + ends);
    }

    /** Its time is over before that of all others, but its turn comes next. */
    @Test
    void oneWhoIsInAHurryIsNotGivenUpForTheLengthOfTheLine() {
        SimServer server = server(Within.ADAPTIVE);
        long id = 0;
        for (long next = 0; server.clock.nanos() < END_NANOS; server.turn()) {
            for (; next <= server.clock.nanos(); next += FLOOD_EVERY_NANOS) {
                boolean hurries = next >= OVERLOADED_NANOS && id % 50 == 0;
                long objective = hurries ? OBJECTIVE / 5 : OBJECTIVE;
                server.submit(request(id++, FLOODING, objective, hurries ? server.clock.nanos() : next));
            }
        }
        List<Answer> hurried = server.answers.values().stream()
                .filter(answer -> answer.spec.ttftNanosMax() < OBJECTIVE)
                .toList();
        assertTrue(hurried.size() > 10);
        long begun = hurried.stream().filter(answer -> answer.started != null).count();
        assertTrue(begun > hurried.size() * 3 / 4, () -> begun + " of " + hurried.size());
    }

    @Test
    void whoSendsLittleIsServedInOrderAndAtOnce() {
        Waits waits = play(server(Within.ADAPTIVE));
        assertEquals((END_NANOS - OVERLOADED_NANOS) / MODEST_EVERY_NANOS, waits.modest.size());
        assertTrue(waits.modest.stream().allMatch(wait -> wait < OBJECTIVE / 4), () -> "waits " + waits.modest);
    }

    @Test
    void oneWhoWaitsAsLongAsItTakesIsNotPassedForEver() {
        SimServer server = server(Within.ADAPTIVE);
        long id = 0;
        long patient = -1;
        for (long next = 0; server.clock.nanos() < END_NANOS; server.turn()) {
            for (; next <= server.clock.nanos(); next += FLOOD_EVERY_NANOS) {
                boolean late = patient < 0 && next >= OVERLOADED_NANOS;
                patient = late ? id : patient;
                server.submit(request(id++, FLOODING, late ? 0 : OBJECTIVE, next));
            }
        }
        Answer answer = server.answer(patient);
        assertTrue(answer.started != null && answer.started.queuedNanos() < 2 * OBJECTIVE, "it waits for ever");
    }
}
