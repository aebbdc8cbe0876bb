package io.chorale.core.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.admission.AdmissionController.Decision;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.PrefixState;
import io.chorale.core.model.Rejection;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SchedulingState;
import org.junit.jupiter.api.Test;

class AdmissionControllerTest {
    private final AdmissionController door =
            new AdmissionController(new AdmissionLimits(2, 3, 100, 64, new PoolGeometry(4, 8, 2, 2), 512, false));

    private static RequestSpec request(int prompt, int answer) {
        return new RequestSpec(1, 0, AdapterSet.BASE, new int[prompt], SamplingParams.greedy(answer), 0, 0, 0);
    }

    private static LoadSnapshot waiting(int requests, long tokens, long queueNanos) {
        return LoadSnapshot.waiting(requests, tokens, 4, queueNanos);
    }

    private Decision.Reject rejected(RequestSpec spec, int adapterPages, LoadSnapshot snapshot, int onTheWay) {
        return assertInstanceOf(Decision.Reject.class, door.decide(spec, adapterPages, snapshot, onTheWay, 0));
    }

    @Test
    void letsInWhatFits() {
        assertInstanceOf(Decision.Accept.class, door.decide(request(16, 17), 0, LoadSnapshot.idle(4), 2, 0));
    }

    @Test
    void refusesWhatTheContextCannotHold() {
        Decision.Reject reject = rejected(request(32, 33), 0, LoadSnapshot.idle(4), 0);
        assertEquals(Rejection.CONTEXT_EXCEEDED, reject.reason());
        assertTrue(reject.detail().contains("64 tokens, but 32"), reject.detail());
        assertEquals(
                Rejection.CONTEXT_EXCEEDED,
                rejected(request(32, Integer.MAX_VALUE), 0, LoadSnapshot.idle(4), 0)
                        .reason());
    }

    @Test
    void countsTheAdapterIntoWhatNeverFits() {
        assertInstanceOf(Decision.Accept.class, door.decide(request(16, 9), 1, LoadSnapshot.idle(4), 0, 0));
        assertEquals(
                Rejection.NEVER_FITS,
                rejected(request(16, 10), 1, LoadSnapshot.idle(4), 0).reason());
    }

    @Test
    void countsThoseOnTheirWayIntoTheQueue() {
        assertInstanceOf(Decision.Accept.class, door.decide(request(1, 1), 0, waiting(2, 9, 0), 0, 0));
        Decision.Reject reject = rejected(request(1, 1), 0, waiting(2, 9, 5_000_000_000L), 1);
        assertEquals(Rejection.QUEUE_FULL, reject.reason());
        assertEquals(5_000_000_000L, reject.retryAfterNanos());
    }

    @Test
    void countsNobodyAsWaitingWhoMayRunAtOnce() {
        assertEquals(5, door.requestsMax());
        assertInstanceOf(Decision.Accept.class, door.decide(request(1, 1), 0, LoadSnapshot.idle(4), 4, 0));
        assertEquals(
                Rejection.QUEUE_FULL,
                rejected(request(1, 1), 0, LoadSnapshot.idle(4), 5).reason());
    }

    /** Those that wait will be given up, and whoever comes now goes before them. */
    @Test
    void doesNotCountThoseWhomTheNextOnePasses() {
        AdmissionController strict =
                new AdmissionController(new AdmissionLimits(2, 300, 1000, 64, new PoolGeometry(4, 8, 2, 2), 8, true));
        RequestSpec spec =
                new RequestSpec(1, 7, AdapterSet.BASE, new int[8], SamplingParams.greedy(1), 6_000_000_000L, 0, 0);
        LoadSnapshot inOrder = waiting(100, 100, new int[0]);
        Decision.Reject reject = assertInstanceOf(Decision.Reject.class, strict.decide(spec, 0, inOrder, 0, 100));
        assertEquals(Rejection.SLO_UNREACHABLE, reject.reason());
        LoadSnapshot newestFirst = waiting(100, 100, new int[] {3, 7});
        assertInstanceOf(Decision.Accept.class, strict.decide(spec, 0, newestFirst, 0, 100));
        LoadSnapshot ofOthers = waiting(100, 100, new int[] {3, 8});
        assertInstanceOf(Decision.Reject.class, strict.decide(spec, 0, ofOthers, 0, 100));
    }

    private static LoadSnapshot waiting(int requests, long tokens, int[] tenantsNewestFirst) {
        SchedulingState state =
                new SchedulingState(0, 0, 1, tenantsNewestFirst, 0, 0, 0, 10_000_000, 10_000, 100_000_000, 0);
        return new LoadSnapshot(
                requests, 2, tokens, 4, 0, 0, 4, 0, new int[0], 0, 0, 0, 0, 0, 0, 0, 0, 0, state, PrefixState.EMPTY);
    }

    @Test
    void boundsTheTokensThatWaitButServesALongPromptWhenNobodyWaits() {
        assertInstanceOf(Decision.Accept.class, door.decide(request(20, 1), 0, waiting(0, 0, 0), 0, 0));
        assertEquals(
                Rejection.QUEUE_TOKENS_FULL,
                rejected(request(20, 1), 0, waiting(1, 81, 0), 0).reason());
    }
}
