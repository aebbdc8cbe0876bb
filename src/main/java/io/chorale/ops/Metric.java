package io.chorale.ops;

import java.util.Locale;

/**
 * Every metric of Chorale, with its unit and what it says. The table of {@code docs/OPERATIONS.md} is made from here. No
 * metric is labelled by adapter, model or request: there may be thousands.
 */
public enum Metric {
    REQUESTS(Kind.COUNTER, "requests", "outcome", "Sequences that ended, by outcome: stop, length, or why dropped."),
    REJECTIONS(Kind.COUNTER, "requests", "reason", "Requests that the door refused, by reason."),
    OBJECTIVES(Kind.COUNTER, "requests", "outcome", "Requests with an objective on the first token: met, or missed."),
    PLACES(Kind.GAUGE, "requests", "", "Sequences behind the door, waiting and running."),
    WAITING(Kind.GAUGE, "requests", "", "Sequences that wait for their first step, or again after a preemption."),
    RUNNING(Kind.GAUGE, "requests", "", "Sequences that take part in steps."),
    RUNNING_LIMIT(Kind.GAUGE, "requests", "", "Sequences that may run at once."),
    WAITING_TOKENS(Kind.GAUGE, "tokens", "", "Tokens that the waiting sequences want computed."),
    TTFT(Kind.TIMER, "seconds", "", "Arrival at the door to the first token."),
    TTFT_EXPECTED(Kind.TIMER, "seconds", "", "What the door expected, of the same requests."),
    TTFT_ERROR(Kind.TIMER, "seconds", "", "By how much the door was wrong, either way."),
    ITL(Kind.TIMER, "seconds", "", "Each gap between a sequence's tokens."),
    QUEUE(Kind.TIMER, "seconds", "", "Arrival at the door to the first planned step."),
    QUEUE_ESTIMATE(Kind.GAUGE, "seconds", "", "How long a request that comes now would wait for its first step."),
    PREFILL(Kind.TIMER, "seconds", "", "The first planned step to the first token."),
    DECODE(Kind.TIMER, "seconds", "", "The first token to the end."),
    TOTAL(Kind.TIMER, "seconds", "", "Arrival at the door to the end, of requests that had a token."),
    TOKENS(Kind.COUNTER, "tokens", "kind", "Tokens computed (row), of prompts begun (prompt), and sent (answer)."),
    STEPS(Kind.COUNTER, "steps", "", "Engine steps begun."),
    STEPS_FAILED(Kind.COUNTER, "steps", "", "Engine steps that were refused or failed."),
    STEP(Kind.TIMER, "seconds", "phase", "Time of a step by phase, as the engine measured it."),
    STEP_WAIT(Kind.TIMER, "seconds", "", "Time that the serving thread waited for a step."),
    STEP_TOKENS(Kind.SUMMARY, "tokens", "", "Rows of a step."),
    STEP_ADAPTERS(Kind.SUMMARY, "segments", "", "Segments of a step: runs of rows with one set of adapters."),
    SERVING_LOOP_GAP(Kind.TIMER, "seconds", "", "Time between two steps in which the engine had nothing to do."),
    STEP_COST_ERROR(Kind.GAUGE, "share", "", "How far predictions of a step's time were off lately."),
    OLDEST_WAIT(Kind.GAUGE, "seconds", "", "How long the oldest of the waiting sequences has waited."),
    FAIRNESS_GAP(Kind.GAUGE, "tokens", "", "The most that a waiting tenant was served beyond another of its class."),
    TENANTS_WAITING(Kind.GAUGE, "tenants", "", "Tenants in line."),
    ADAPTERS_RUNNING(Kind.GAUGE, "adapters", "", "Distinct adapters of the running sequences."),
    MERGES(Kind.COUNTER, "merges", "", "Adapters merged into shadow weights."),
    MERGED_STEPS(Kind.COUNTER, "steps", "", "Steps on merged weights."),
    PAGES(Kind.GAUGE, "pages", "use", "Pages of the pool by use: kv, adapter, cached, quarantined, free."),
    PREFIX_TOKENS(
            Kind.COUNTER,
            "tokens",
            "kind",
            "Tokens of prompts begun (queried), and of them those computed before (found)."),
    PREFIX_EVICTIONS(Kind.COUNTER, "pages", "", "Cached pages that were wanted for something else."),
    ADAPTERS_RESIDENT(Kind.GAUGE, "adapters", "", "Adapters in the page pool."),
    ADAPTER_LOADS(Kind.COUNTER, "loads", "", "Adapters brought into the page pool."),
    ADAPTER_STAGING(Kind.TIMER, "seconds", "", "Time to read, check and lay out an adapter in host memory."),
    ADAPTER_HOST_BYTES(
            Kind.GAUGE,
            "bytes",
            "",
            "Host memory that the engine has for adapters, also of those released while a load needs them."),
    ADAPTER_EVICTIONS(Kind.COUNTER, "evictions", "", "Idle adapters that left the page pool."),
    SOURCE_CALLS(
            Kind.COUNTER,
            "calls",
            "event",
            "What happened when adapters were fetched: succeeded, failed, retried, timed_out, rejected, prevented."),
    SOURCES_OPEN(Kind.GAUGE, "sources", "", "Sources left alone by their circuit breaker, having failed too often."),
    PREEMPTIONS(Kind.COUNTER, "preemptions", "", "Running sequences that gave their pages back."),
    EARLY_ABORTS(Kind.COUNTER, "requests", "", "Waiting sequences given up because their objective was lost."),
    DEVICE_MEMORY(Kind.GAUGE, "bytes", "device", "Memory of a GPU. This and what follows: where there is a driver."),
    DEVICE_MEMORY_USED(Kind.GAUGE, "bytes", "device", "What of it is taken, by whomever."),
    DEVICE_UTILIZATION(Kind.GAUGE, "share", "device", "Share of the last moment in which a kernel ran."),
    DEVICE_TEMPERATURE(Kind.GAUGE, "degrees Celsius", "device", "Temperature of a GPU."),
    DEVICE_POWER(Kind.GAUGE, "watts", "device", "Power that a GPU draws."),
    DEVICE_SLOWED(
            Kind.GAUGE,
            "bits",
            "device",
            "Why its clocks are held down, as NVML's bits: heat, power; 0: they are not."),
    DEVICE_ECC_CORRECTED(
            Kind.COUNTER, "errors", "device", "Errors of its memory that were corrected, since the driver's start."),
    DEVICE_ECC_UNCORRECTED(Kind.COUNTER, "errors", "device", "Errors of its memory that were not."),
    DEVICE_XID_ERRORS(
            Kind.COUNTER, "errors", "device", "Critical errors that the driver told of since the server's start."),
    DEVICE_XID_LAST(Kind.GAUGE, "number", "device", "The last one's Xid; 0: none.");

    /** How a metric behaves. */
    public enum Kind {
        /** Only grows. */
        COUNTER,
        /** A value now. */
        GAUGE,
        /** A distribution of times. */
        TIMER,
        /** A distribution of sizes. */
        SUMMARY
    }

    private final Kind kind;
    private final String unit;
    private final String label;
    private final String sentence;

    Metric(Kind kind, String unit, String label, String sentence) {
        this.kind = kind;
        this.unit = unit;
        this.label = label;
        this.sentence = sentence;
    }

    public Kind kind() {
        return kind;
    }

    /** The name as Micrometer takes it; the registry adds what its system wants. */
    public String meterName() {
        return "chorale." + name().toLowerCase(Locale.ROOT).replace('_', '.');
    }

    /** The name as Prometheus shows it. */
    public String prometheusName() {
        String name = "chorale_" + name().toLowerCase(Locale.ROOT);
        return switch (kind) {
            case COUNTER -> name + "_total";
            case TIMER -> name + "_seconds";
            case GAUGE -> unit.equals("seconds") ? name + "_seconds" : name;
            case SUMMARY -> name;
        };
    }

    public String unit() {
        return unit;
    }

    /** The one label that it has, or an empty text. */
    public String label() {
        return label;
    }

    public String sentence() {
        return sentence;
    }
}
