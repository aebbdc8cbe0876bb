package io.chorale.core.sched;

import io.chorale.core.model.Check;
import java.util.ArrayList;
import java.util.List;

/**
 * dLoRA's credits, in time: while merged steps hold a flow back it is credited with their duration, and the flows that ran
 * meanwhile are debited with the same; steps in which everybody runs make good. The sum is always nothing.
 */
final class DelayCredits {
    private final WaitingRoom room;
    private final List<Flow> heldBack = new ArrayList<>();
    private final List<Flow> served = new ArrayList<>();
    /** Flows whose credit is not nothing. */
    private final List<Flow> open = new ArrayList<>();

    private long sinceNanos;

    DelayCredits(WaitingRoom room) {
        this.room = room;
    }

    /** The step being decided holds a flow back. */
    void holdBack(Flow flow) {
        list(flow, heldBack);
    }

    /** The step being decided has rows of a flow. */
    void serve(Flow flow) {
        list(flow, served);
    }

    private static void list(Flow flow, List<Flow> into) {
        if (!flow.listedForCredit) {
            flow.listedForCredit = true;
            into.add(flow);
        }
    }

    /** Whether nothing was held back and nothing is owed, so that nobody has to be listed. */
    boolean isSettled() {
        return open.isEmpty() && heldBack.isEmpty();
    }

    /** The most that a flow in line or in the batch has to its credit. */
    long most() {
        long most = 0;
        for (int i = 0; i < open.size(); i++) {
            Flow flow = open.get(i);
            most = flow.live > 0 ? Math.max(most, flow.creditNanos) : most;
        }
        return most;
    }

    /** Time has passed since the last step was decided: books it. */
    void settle(long nowNanos) {
        long elapsed = Math.max(0, nowNanos - sinceNanos);
        sinceNanos = nowNanos;
        if (!heldBack.isEmpty() && !served.isEmpty()) {
            long owed = elapsed * heldBack.size();
            long share = owed / served.size();
            for (int i = 0; i < heldBack.size(); i++) {
                book(heldBack.get(i), elapsed);
            }
            for (int i = 0; i < served.size(); i++) {
                book(served.get(i), i == 0 ? share * (served.size() - 1) - owed : -share);
            }
        } else if (heldBack.isEmpty()) {
            makeGood(elapsed);
        }
        forget(heldBack);
        forget(served);
        closeSettled();
    }

    /** Those who were held back run: what they have to their credit goes down, and so does what others owe. */
    private void makeGood(long elapsed) {
        long paid = 0;
        for (int i = 0; i < served.size(); i++) {
            Flow flow = served.get(i);
            long its = Math.clamp(flow.creditNanos, 0, elapsed);
            paid += its;
            book(flow, -its);
        }
        for (int i = 0; i < open.size() && paid > 0; i++) {
            Flow flow = open.get(i);
            long its = Math.clamp(-flow.creditNanos, 0, paid);
            paid -= its;
            book(flow, its);
        }
    }

    private void book(Flow flow, long nanos) {
        boolean wasOpen = flow.creditNanos != 0;
        flow.creditNanos += nanos;
        if (!wasOpen && flow.creditNanos != 0 && !open.contains(flow)) {
            open.add(flow);
        }
        room.inLine.rerank(flow);
    }

    /** A flow without requests has nothing to wait for: its credit is written off against those who owe. */
    private void closeSettled() {
        long writtenOff = 0;
        for (int i = 0; i < open.size(); i++) {
            Flow flow = open.get(i);
            if (flow.live == 0 && flow.creditNanos > 0) {
                writtenOff += flow.creditNanos;
                flow.creditNanos = 0;
            }
        }
        for (int i = 0; i < open.size() && writtenOff > 0; i++) {
            Flow flow = open.get(i);
            long its = Math.clamp(-flow.creditNanos, 0, writtenOff);
            writtenOff -= its;
            flow.creditNanos += its;
        }
        for (int i = open.size() - 1; i >= 0; i--) {
            if (open.get(i).creditNanos == 0) {
                open.set(i, open.get(open.size() - 1));
                open.remove(open.size() - 1);
            }
        }
    }

    private static void forget(List<Flow> flows) {
        for (int i = 0; i < flows.size(); i++) {
            flows.get(i).listedForCredit = false;
        }
        flows.clear();
    }

    void verify() {
        long sum = 0;
        for (Flow flow : open) {
            sum += flow.creditNanos;
        }
        long left = sum;
        Check.state(left == 0, () -> "credits add up to " + left + " ns, not to nothing");
    }
}
