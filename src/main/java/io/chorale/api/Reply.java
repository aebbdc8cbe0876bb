package io.chorale.api;

import io.smallrye.mutiny.Multi;
import java.util.List;
import java.util.Map;

/** A response whose status is settled: its headers and its body, which may still be on its way. */
record Reply(int status, Map<String, List<String>> headers, Multi<byte[]> body) {
    private static final Map<String, List<String>> JSON =
            Map.of("Content-Type", List.of("application/json;charset=UTF-8"));

    private static final Map<String, List<String>> EVENTS = Map.of(
            "Content-Type", List.of("text/event-stream;charset=UTF-8"),
            "Cache-Control", List.of("no-cache"),
            // Tells reverse proxies to pass events on as they come.
            "X-Accel-Buffering", List.of("no"));

    static Reply json(byte[] body) {
        return new Reply(200, JSON, Multi.createFrom().item(body));
    }

    static Reply events(Multi<byte[]> body) {
        return new Reply(200, EVENTS, body);
    }
}
