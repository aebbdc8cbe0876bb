package io.chorale.core.sched;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.Check;
import io.chorale.core.model.Priority;
import io.chorale.core.model.RequestSpec;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.IntToDoubleFunction;

/**
 * Every tenant's account, and within it every adapter's. Bounded: those without requests are forgotten, longest idle
 * first, when there are more than {@link #ACCOUNTS_MAX}; when all have requests, newcomers share one account.
 */
final class FlowBook {
    static final int ACCOUNTS_MAX = 10_000;

    private record LineKey(int tenant, Priority priority) {}

    private record FlowKey(int tenant, Priority priority, AdapterSet adapters) {}

    private final IntToDoubleFunction weights;
    private final Map<LineKey, TenantLine> lines = new LinkedHashMap<>();
    private final Map<FlowKey, Flow> flows = new LinkedHashMap<>();
    private final ArrayDeque<TenantLine> idleLines = new ArrayDeque<>();
    private final ArrayDeque<Flow> idleFlows = new ArrayDeque<>();
    private final Account otherTenants = new Account();

    FlowBook(IntToDoubleFunction weights) {
        this.weights = weights;
    }

    /** The flow of a request, which is live from now on. */
    Flow enter(RequestSpec spec, AdapterGroup group) {
        TenantLine line = line(spec.tenant(), spec.priority());
        FlowKey key = new FlowKey(spec.tenant(), spec.priority(), group.set);
        Flow flow = flows.get(key);
        if (flow == null || flow.line != line) { // its tenant may have been forgotten before it was
            forgetIdleFlows();
            Account account = flows.size() < ACCOUNTS_MAX ? new Account() : line.rest;
            flow = new Flow(line, group, account);
            flows.put(key, flow);
        }
        flow.group = group;
        flow.live++;
        line.live++;
        return flow;
    }

    /** A request of the flow has ended. */
    void leave(Flow flow) {
        TenantLine line = flow.line;
        if (--flow.live == 0 && !flow.listedIdle) {
            flow.listedIdle = true;
            idleFlows.add(flow);
        }
        if (--line.live == 0 && !line.listedIdle) {
            line.listedIdle = true;
            idleLines.add(line);
        }
    }

    private TenantLine line(int tenant, Priority priority) {
        LineKey key = new LineKey(tenant, priority);
        TenantLine line = lines.get(key);
        if (line == null) {
            forgetIdleLines();
            Account account = lines.size() < ACCOUNTS_MAX ? new Account() : otherTenants;
            line = new TenantLine(tenant, priority, weights.applyAsDouble(tenant), account);
            lines.put(key, line);
        }
        return line;
    }

    private void forgetIdleFlows() {
        while (flows.size() >= ACCOUNTS_MAX && !idleFlows.isEmpty()) {
            Flow flow = idleFlows.remove();
            flow.listedIdle = false;
            if (flow.live == 0) {
                flows.remove(new FlowKey(flow.line.tenant, flow.line.priority, flow.set));
            }
        }
    }

    private void forgetIdleLines() {
        while (lines.size() >= ACCOUNTS_MAX && !idleLines.isEmpty()) {
            TenantLine line = idleLines.remove();
            line.listedIdle = false;
            if (line.live == 0) {
                lines.remove(new LineKey(line.tenant, line.priority));
            }
        }
    }

    void verify(int liveRequests) {
        int ofFlows = 0;
        for (Flow flow : flows.values()) {
            ofFlows += flow.live;
            Check.state(flow.live >= flow.waiting(), () -> "a flow has more waiting than live requests");
        }
        int ofLines = 0;
        for (TenantLine line : lines.values()) {
            ofLines += line.live;
        }
        boolean exact = ofFlows == liveRequests && ofLines == liveRequests;
        Check.state(exact, () -> "flows and live requests differ in number");
    }
}
