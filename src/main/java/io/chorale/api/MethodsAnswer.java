package io.chorale.api;

import io.vertx.core.http.HttpMethod;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.core.Response;
import org.jboss.resteasy.reactive.server.ServerRequestFilter;
import org.jspecify.annotations.Nullable;

/** Answers OPTIONS with what a path takes. Left to others, the answer would have HEAD in it wherever it is asked. */
public class MethodsAnswer {
    @ServerRequestFilter(preMatching = true)
    @Nullable
    Response answer(RoutingContext exchange) {
        String path = exchange.normalizedPath();
        return exchange.request().method().equals(HttpMethod.OPTIONS) && AllowedMethods.knows(path)
                ? Response.ok().header("Allow", AllowedMethods.at(path)).build()
                : null;
    }
}
