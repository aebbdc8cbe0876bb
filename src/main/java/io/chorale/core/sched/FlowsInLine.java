package io.chorale.core.sched;

import io.chorale.core.model.Check;
import io.chorale.core.model.Priority;
import io.chorale.core.policy.OrderPolicy;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The flows in line, by class of priority, by tenant and within a tenant, in the order of the policy; and who of them may
 * go before whom.
 */
final class FlowsInLine {
    private static final int[] NOBODY = {};

    /** Flows of one adapter set that are compared when its requests may pass others. */
    private static final int FLOWS_COMPARED_MAX = 8;

    /** The tenants of one class that are in line. */
    private static final class Section {
        final ScoreHeap<TenantLine> ready = new ScoreHeap<>();

        @Nullable
        TenantLine lastLeft;
    }

    private final OrderPolicy order;
    private final long quantum;
    private final Section[] sections = new Section[Priority.values().length];
    private boolean newestFirst;

    /** @param quantum service by which a flow that passes others may be ahead of them */
    FlowsInLine(OrderPolicy order, double quantum) {
        this.order = order;
        this.quantum = (long) (quantum * Account.UNITS);
        newestFirst = order.newestFirst();
        for (int i = 0; i < sections.length; i++) {
            sections[i] = new Section();
        }
    }

    // ---- coming and going -----------------------------------------------------------------------------------------

    /**
     * VTC's lift, at both levels, of a flow that is about to be pushed: whoever comes into an empty line starts where the
     * least served in line is, or if none is where the last one was that left.
     */
    void lift(Flow flow) {
        TenantLine line = flow.line;
        Section section = sectionOf(line);
        if (!line.ready.isEmpty()) {
            flow.account.lift(firstOf(line).account.service);
        } else if (line.lastLeft != null) {
            flow.account.lift(line.lastLeft.account.service);
        }
        if (!line.inHeap()) {
            if (!section.ready.isEmpty()) {
                line.account.lift(firstOf(section).account.service);
            } else if (section.lastLeft != null) {
                line.account.lift(section.lastLeft.account.service);
            }
        }
    }

    /** Into the line, or back to it. */
    void push(Flow flow) {
        TenantLine line = flow.line;
        ScoreHeap<TenantLine> lines = sectionOf(line).ready;
        flow.turn(line.newestFirst);
        line.ready.add(flow, rank(flow), flow.head().order);
        if (!line.inHeap()) {
            lines.add(line, order.rank(line), line.ready.peek().head().order);
        } else {
            lines.update(line, order.rank(line), line.ready.peek().head().order);
        }
    }

    /** Out of the line, to come back. */
    void pull(Flow flow) {
        TenantLine line = flow.line;
        ScoreHeap<TenantLine> lines = sectionOf(line).ready;
        line.ready.remove(flow);
        if (line.ready.isEmpty()) {
            lines.remove(line);
        } else {
            lines.update(line, order.rank(line), line.ready.peek().head().order);
        }
    }

    /** Out of the line for good. */
    void leave(Flow flow) {
        pull(flow);
        flow.line.lastLeft = flow;
        if (flow.line.ready.isEmpty()) {
            sectionOf(flow.line).lastLeft = flow.line;
        }
    }

    // ---- the order ------------------------------------------------------------------------------------------------

    private Section sectionOf(TenantLine line) {
        return sections[line.priority.level()];
    }

    /** Where a flow is among those of its tenant. One that gave its pages back goes before all that have not begun. */
    private long rank(Flow flow) {
        boolean yielded = order.byService() && !order.flowsByService() && flow.head().started;
        return yielded ? Long.MIN_VALUE + flow.head().order : order.rank(flow);
    }

    /** The head of a flow, or something else that its rank depends on, has changed. */
    void rerank(Flow flow) {
        if (flow.inHeap()) {
            TenantLine line = flow.line;
            flow.turn(line.newestFirst);
            line.ready.update(flow, rank(flow), flow.head().order);
            sectionOf(line)
                    .ready
                    .update(line, order.rank(line), line.ready.peek().head().order);
        }
    }

    /** Who goes first, or null. */
    @Nullable
    Flow first() {
        for (Section section : sections) {
            if (!section.ready.isEmpty()) {
                return firstOf(firstOf(section));
            }
        }
        return null;
    }

    /** The first flow of a tenant. Service only grows, so a rank that is out of date is too low and corrected here. */
    private Flow firstOf(TenantLine line) {
        while (true) {
            Flow flow = line.ready.peek();
            long rank = rank(flow);
            if (rank == flow.score()) {
                return flow;
            }
            line.ready.update(flow, rank, flow.head().order);
        }
    }

    private TenantLine firstOf(Section section) {
        while (true) {
            TenantLine line = section.ready.peek();
            if (line.newestFirst != order.newestFirst(line)) {
                turnAround(line);
            }
            long rank = order.rank(line);
            if (rank == line.score()) {
                return line;
            }
            section.ready.update(line, rank, firstOf(line).head().order);
        }
    }

    /** Whether now the latest request of whoever comes to the line goes first. */
    boolean newestFirst() {
        return newestFirst;
    }

    /** Where the policy has turned the order around, whoever came last goes first from now on, or the other way round. */
    void turn() {
        if (newestFirst == order.newestFirst()) {
            return;
        }
        newestFirst = order.newestFirst();
        for (Section section : sections) {
            for (int i = 0; i < section.ready.size(); i++) {
                TenantLine line = section.ready.get(i);
                turnAround(line);
                section.ready.rescore(line, order.rank(line), line.ready.peek().head().order);
            }
            section.ready.rebuild();
        }
    }

    private void turnAround(TenantLine line) {
        line.newestFirst = !line.newestFirst;
        for (int i = 0; i < line.ready.size(); i++) {
            Flow flow = line.ready.get(i);
            flow.turn(line.newestFirst);
            line.ready.rescore(flow, rank(flow), flow.head().order);
        }
        line.ready.rebuild();
    }

    // ---- who may pass whom ----------------------------------------------------------------------------------------

    /**
     * Which flow of an adapter set may pass those in line, or null: the one of them that goes first, if it is not too far
     * ahead of anybody.
     */
    @Nullable
    Flow firstOf(AdapterGroup group) {
        Flow best = null;
        int compared = 0;
        for (Flow flow = group.firstFlow; flow != null && compared < FLOWS_COMPARED_MAX; flow = flow.nextOfGroup) {
            compared++;
            if (flow.inHeap() && mayPassAll(flow) && (best == null || goesBefore(flow, best))) {
                best = flow;
            }
        }
        return best;
    }

    /** Whether a flow may go before everybody who is in line now. */
    private boolean mayPassAll(Flow flow) {
        for (int higher = 0; higher < flow.line.priority.level(); higher++) {
            if (!sections[higher].ready.isEmpty()) {
                return false;
            }
        }
        return !order.byService()
                || (flow.line.account.service - firstOf(sectionOf(flow.line)).account.service <= quantum
                        && (!order.flowsByService()
                                || flow.account.service - firstOf(flow.line).account.service <= quantum));
    }

    /** Whether of two candidates the first is to be taken. */
    boolean goesBefore(Flow a, Flow b) {
        if (a.line.priority != b.line.priority) {
            return a.line.priority.compareTo(b.line.priority) < 0;
        }
        if (order.byService() && a.line != b.line) {
            return a.line.account.service < b.line.account.service;
        }
        long mine = rank(a);
        long other = rank(b);
        return mine != other ? mine < other : a.head().order < b.head().order;
    }

    /** Whether a sequence may be admitted while another one, which was to go before it, does not fit yet. */
    boolean mayPass(Sequence sequence, Sequence blocked) {
        Flow its = sequence.flow;
        Flow others = blocked.flow;
        if (!order.byService() || its.line.priority != others.line.priority) {
            return true;
        }
        if (its.line == others.line) {
            return !order.flowsByService() || its.account.service - others.account.service <= quantum;
        }
        return its.line.account.service - others.line.account.service <= quantum;
    }

    // ---- looking at it --------------------------------------------------------------------------------------------

    /** Tenants in line. */
    int tenants() {
        int tenants = 0;
        for (Section section : sections) {
            tenants += section.ready.size();
        }
        return tenants;
    }

    /**
     * The tenants whose latest request goes first as long as they are in line, in any class; not those of an order in which
     * that may be otherwise with the next admission.
     */
    int[] tenantsNewestFirst() {
        int[] tenants = NOBODY;
        int found = 0;
        for (Section section : sections) {
            for (int i = 0; i < section.ready.size() && !newestFirst; i++) {
                if (section.ready.get(i).newestFirst) {
                    tenants = found == tenants.length ? Arrays.copyOf(tenants, 2 * found + 1) : tenants;
                    tenants[found++] = section.ready.get(i).tenant;
                }
            }
        }
        return found == tenants.length ? tenants : Arrays.copyOf(tenants, found);
    }

    /** The most that a tenant in line is ahead of another one of its class, in tokens at a price of 1. */
    double serviceGap() {
        double gap = 0;
        for (Section section : sections) {
            if (!section.ready.isEmpty()) {
                long most = Long.MIN_VALUE;
                for (int i = 0; i < section.ready.size(); i++) {
                    most = Math.max(most, section.ready.get(i).account.service);
                }
                long least = Long.MAX_VALUE;
                for (int i = 0; i < section.ready.size(); i++) {
                    least = Math.min(least, section.ready.get(i).account.service);
                }
                gap = Math.max(gap, (most - least) / Account.UNITS);
            }
        }
        return gap;
    }

    /** How many flows are in line, how many requests they have, and how many tokens those want computed. */
    record Load(int flows, int requests, long tokens) {}

    Load verify() {
        int flows = 0;
        int requests = 0;
        long wanted = 0;
        for (Section section : sections) {
            section.ready.verify();
            for (int i = 0; i < section.ready.size(); i++) {
                TenantLine line = section.ready.get(i);
                line.ready.verify();
                int ofLine = 0;
                for (int k = 0; k < line.ready.size(); k++) {
                    Flow flow = line.ready.get(k);
                    Check.state(flow.group.missing() == null, () -> "a flow is in line without its adapter");
                    ofLine += flow.waiting();
                    wanted += flow.tokens();
                    flows++;
                }
                int counted = ofLine;
                Check.state(counted == line.waiting, () -> "a tenant's requests in line are not conserved");
                requests += ofLine;
            }
        }
        return new Load(flows, requests, wanted);
    }
}
