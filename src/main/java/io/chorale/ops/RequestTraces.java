package io.chorale.ops;

import io.chorale.serving.RequestReport;
import io.chorale.serving.RequestReporter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.time.InstantSource;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * What a traced request's time went into, as spans under the one of its HTTP exchange: queue, in it the reading of its
 * adapter, prefill, decode. Made when it has ended, from the times that were taken anyway; a request that nobody traces
 * costs a look.
 */
public final class RequestTraces implements RequestReporter {
    private final Tracer tracer;
    private final InstantSource wallClock;

    public RequestTraces(Tracer tracer, InstantSource wallClock) {
        this.tracer = tracer;
        this.wallClock = wallClock;
    }

    @Override
    public Consumer<RequestReport> begin() {
        Context parent = Context.current();
        return Span.fromContext(parent).getSpanContext().isSampled() ? report -> trace(parent, report) : report -> {};
    }

    private void trace(Context exchange, RequestReport report) {
        describe(Span.fromContext(exchange), report);
        if (report.totalNanos() == 0) {
            return;
        }
        long arrival = TimeUnit.MILLISECONDS.toNanos(wallClock.millis()) - report.totalNanos();
        long started = arrival + report.queueNanos();
        long answered = started + report.prefillNanos();
        Context queue = span("queue", exchange, arrival, started);
        if (report.adapterNanos() > 0) {
            span("adapter load", queue, arrival, arrival + report.adapterNanos());
        }
        if (report.prefillNanos() > 0) {
            span("prefill", exchange, started, answered);
        }
        if (report.decodeNanos() > 0) {
            span("decode", exchange, answered, answered + report.decodeNanos());
        }
    }

    private Context span(String name, Context parent, long fromNanos, long toNanos) {
        Span span = tracer.spanBuilder(name)
                .setParent(parent)
                .setStartTimestamp(fromNanos, TimeUnit.NANOSECONDS)
                .startSpan();
        span.end(toNanos, TimeUnit.NANOSECONDS);
        return parent.with(span);
    }

    /** The conventions' names where they have one. */
    private static void describe(Span span, RequestReport report) {
        span.setAttribute("gen_ai.request.model", report.model());
        span.setAttribute("gen_ai.usage.input_tokens", report.promptTokens());
        span.setAttribute("gen_ai.usage.output_tokens", report.answerTokens());
        span.setAttribute("gen_ai.response.finish_reasons", report.outcome());
        span.setAttribute("chorale.adapter.cold", report.adapterNanos() > 0);
        if (report.status() >= 500) {
            span.setStatus(StatusCode.ERROR, report.outcome());
        }
    }
}
