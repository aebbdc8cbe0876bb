package io.chorale.simulate;

import io.chorale.core.admission.AdmissionController.Decision;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.workload.RetryRule;
import io.chorale.workload.Workload;
import java.util.Arrays;
import java.util.OptionalLong;
import java.util.PriorityQueue;
import java.util.SplittableRandom;

/**
 * Everybody who sent a request: when they sent it, what they have got, and whether they try again. Times are as the client
 * sees them: the time to a first token counts from the first try.
 */
final class Clients {
    /** How it went. */
    enum Outcome {
        PENDING,
        SERVED,
        /** Given up by the server before its first token. */
        ABORTED,
        /** Refused at the door, at the last try. */
        REJECTED,
        /** It can never be served. */
        REFUSED
    }

    private record Retry(long nanos, int request) {}

    private static final int ATTEMPT_SHIFT = 40;

    private final Workload workload;
    private final RetryRule rule;
    private final long ttftNanosMax;
    /** From sending to the queue of the server. */
    private final long wayNanos;

    private final SplittableRandom random;
    private final PriorityQueue<Retry> retries = new PriorityQueue<>((a, b) -> Long.compare(a.nanos, b.nanos));
    private int next;

    private final byte[] attempts;
    /** When the last try was sent. */
    private final long[] triedNanos;

    private final Outcome[] outcomes;
    /** -1: no token yet. */
    private final long[] firstTokenNanos;

    private final long[] lastTokenNanos;

    // Prompts and settings of equal length are shared: nobody writes to them.
    private final int[][] prompts;
    private final SamplingParams[] lengths;
    private final AdapterSet[] adapterSets;

    int pending;
    long retriesSent;
    /** Answers in which every gap counts here, over all of them. */
    final LogHistogram gaps = new LogHistogram();

    Clients(Workload workload, RetryRule rule, long ttftNanosMax, long wayNanos, long seed) {
        this.workload = workload;
        this.rule = rule;
        this.ttftNanosMax = ttftNanosMax;
        this.wayNanos = wayNanos;
        random = new SplittableRandom(seed);
        int size = workload.size();
        attempts = new byte[size];
        triedNanos = new long[size];
        outcomes = new Outcome[size];
        Arrays.fill(outcomes, Outcome.PENDING);
        firstTokenNanos = new long[size];
        Arrays.fill(firstTokenNanos, -1);
        lastTokenNanos = new long[size];
        int promptMax = 0;
        int answerMax = 0;
        for (int i = 0; i < size; i++) {
            promptMax = Math.max(promptMax, workload.promptTokens(i));
            answerMax = Math.max(answerMax, workload.answerTokens(i));
        }
        prompts = new int[promptMax + 1][];
        lengths = new SamplingParams[answerMax + 1];
        adapterSets = new AdapterSet[workload.adapters()];
    }

    // ---- sending --------------------------------------------------------------------------------------------------

    /** When the next request reaches the server; {@code Long.MAX_VALUE}: never. */
    long nextNanos() {
        long first = next < workload.size() ? workload.nanos(next) + wayNanos : Long.MAX_VALUE;
        return retries.isEmpty() ? first : Math.min(first, retries.peek().nanos);
    }

    /** The request that reaches the server at {@link #nextNanos}. */
    int send() {
        if (!retries.isEmpty() && retries.peek().nanos == nextNanos()) {
            retriesSent++;
            return retries.remove().request;
        }
        pending++;
        return next++;
    }

    /** What a client sends: a try has an id of its own. */
    RequestSpec spec(int request, long now) {
        triedNanos[request] = now - wayNanos;
        int prompt = workload.promptTokens(request);
        int answer = workload.answerTokens(request);
        int adapter = workload.adapter(request);
        if (prompts[prompt] == null) {
            prompts[prompt] = new int[prompt];
            Arrays.fill(prompts[prompt], Replica.TOKEN);
        }
        if (lengths[answer] == null) {
            lengths[answer] = SamplingParams.greedy(answer);
        }
        if (adapter != Workload.BASE && adapterSets[adapter] == null) {
            adapterSets[adapter] = AdapterSet.of(adapter + 1);
        }
        return new RequestSpec(
                request | ((long) attempts[request] << ATTEMPT_SHIFT),
                workload.tenant(request),
                adapter == Workload.BASE ? AdapterSet.BASE : adapterSets[adapter],
                prompts[prompt],
                lengths[answer],
                ttftNanosMax,
                1L + request, // equal prompts are not the same prompt: no cached prefix is shared
                now);
    }

    static int requestOf(long id) {
        return (int) id;
    }

    // ---- what comes back ------------------------------------------------------------------------------------------

    void rejected(int request, Decision.Reject reject, long now) {
        if (reject.reason().retryable()) {
            tryAgainOr(Outcome.REJECTED, request, reject.retryAfterNanos(), now);
        } else {
            end(request, Outcome.REFUSED);
        }
    }

    void dropped(int request, DropReason reason, long retryAfterNanos, long now) {
        boolean begun = firstTokenNanos[request] >= 0;
        if (!begun && reason.retryable()) {
            tryAgainOr(Outcome.ABORTED, request, retryAfterNanos, now);
        } else {
            end(request, begun ? Outcome.ABORTED : Outcome.REFUSED);
        }
    }

    private void tryAgainOr(Outcome outcome, int request, long retryAfterNanos, long now) {
        OptionalLong delay = rule.delayNanos(attempts[request], retryAfterNanos, random.nextDouble());
        if (delay.isPresent()) {
            attempts[request]++;
            retries.add(new Retry(now + delay.getAsLong() + wayNanos, request));
        } else {
            end(request, outcome);
        }
    }

    /** A token came. Returns whether it was the first one. */
    boolean token(int request, long now) {
        boolean first = firstTokenNanos[request] < 0;
        if (first) {
            firstTokenNanos[request] = now;
        } else {
            gaps.add(now - lastTokenNanos[request]);
        }
        lastTokenNanos[request] = now;
        return first;
    }

    void finished(SequenceEvent.Finished finished) {
        end(requestOf(finished.requestId()), Outcome.SERVED);
    }

    private void end(int request, Outcome outcome) {
        outcomes[request] = outcome;
        pending--;
    }

    // ---- how it went ----------------------------------------------------------------------------------------------

    Outcome outcome(int request) {
        return outcomes[request];
    }

    /** From the first try; NaN: none came. */
    double ttftSeconds(int request) {
        long first = firstTokenNanos[request];
        return first < 0 ? Double.NaN : (first - workload.nanos(request)) / 1e9;
    }

    double triedSeconds(int request) {
        return triedNanos[request] / 1e9;
    }

    /** From the try that was answered; NaN: none was. */
    double tryTtftSeconds(int request) {
        long first = firstTokenNanos[request];
        return first < 0 ? Double.NaN : (first - triedNanos[request]) / 1e9;
    }

    /** From the first try to the last token. */
    double latencySeconds(int request) {
        return (lastTokenNanos[request] - workload.nanos(request)) / 1e9;
    }

    /** Mean gap between the tokens of an answer; 0 when it has only one. */
    double tpotSeconds(int request) {
        int later = workload.answerTokens(request) - 1;
        return later <= 0 ? 0 : (lastTokenNanos[request] - firstTokenNanos[request]) / 1e9 / later;
    }

    int count(Outcome outcome) {
        int count = 0;
        for (Outcome one : outcomes) {
            count += one == outcome ? 1 : 0;
        }
        return count;
    }
}
