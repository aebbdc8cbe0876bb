package io.chorale.api;

import io.vertx.core.http.HttpServerRequest;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.Response;
import org.jboss.resteasy.reactive.server.ServerRequestFilter;
import org.jspecify.annotations.Nullable;

/**
 * Turns requests without a valid key away, where keys are configured, before anything of them is read. Pages, probes and
 * metrics need none; nor does listening to a stream, whose id cannot be guessed.
 */
public class ApiKeys {
    private final Callers callers;

    ApiKeys(Callers callers) {
        this.callers = callers;
    }

    @ServerRequestFilter(preMatching = true)
    @Nullable
    Response check(@Context HttpServerRequest http) {
        String path = String.valueOf(http.path());
        boolean open = !(path.startsWith("/v1/") || path.equals("/tokenize") || path.equals("/detokenize"))
                || (path.startsWith("/v1/streams/") && http.method().name().equals("GET"));
        if (open) {
            return null;
        }
        try {
            callers.identified(http);
            return null;
        } catch (Problem unauthorized) {
            return ProblemMapper.response(unauthorized);
        }
    }
}
