package io.chorale.api;

import io.smallrye.mutiny.Multi;
import java.util.HashMap;
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

    /** The same with the adapter and version that answer, which an alias does not tell. */
    Reply answeredBy(ModelCatalog.Served model) {
        if (model.answering().isEmpty()) {
            return this;
        }
        Map<String, List<String>> more = new HashMap<>(headers);
        more.put("X-Adapter", List.of(model.answering()));
        return new Reply(status, more, body);
    }

    static Reply events(Multi<byte[]> body) {
        return new Reply(200, EVENTS, body);
    }
}
