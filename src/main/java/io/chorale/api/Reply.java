package io.chorale.api;

import io.chorale.serving.RequestTimes;
import io.smallrye.mutiny.Multi;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A response whose status is settled: its headers and its body, which may still be on its way. */
record Reply(int status, Map<String, List<String>> headers, Multi<byte[]> body) {
    private static final double NANOS_PER_MILLI = 1e6;

    private static final Map<String, List<String>> JSON =
            Map.of("Content-Type", List.of("application/json;charset=UTF-8"));

    private static final Map<String, List<String>> EVENTS = Map.of(
            "Content-Type", List.of("text/event-stream;charset=UTF-8"),
            "Cache-Control", List.of("no-cache"),
            // Tells reverse proxies to pass events on as they come.
            "X-Accel-Buffering", List.of("no"));

    static Reply json(Multi<byte[]> body) {
        return new Reply(200, JSON, body);
    }

    /** The same with the adapter and version that answer, which an alias does not tell. */
    Reply answeredBy(String adapters) {
        if (adapters.isEmpty()) {
            return this;
        }
        Map<String, List<String>> more = new HashMap<>(headers);
        more.put("X-Adapter", List.of(adapters));
        return new Reply(status, more, body);
    }

    /** The same with {@code Server-Timing}: what the time up to the status line went into. */
    Reply timed(RequestTimes times) {
        String timing = String.format(
                Locale.ROOT,
                "queue;dur=%.1f, adapter;dur=%.1f, prefill;dur=%.1f",
                times.queueNanos() / NANOS_PER_MILLI,
                times.adapterNanos() / NANOS_PER_MILLI,
                times.prefillNanos() / NANOS_PER_MILLI);
        if (times.ended()) {
            timing += String.format(Locale.ROOT, ", decode;dur=%.1f", times.decodeNanos() / NANOS_PER_MILLI);
        }
        Map<String, List<String>> more = new HashMap<>(headers);
        more.put("Server-Timing", List.of(timing));
        return new Reply(status, more, body);
    }

    static Reply events(Multi<byte[]> body) {
        return new Reply(200, EVENTS, body);
    }
}
