package io.chorale.api;

import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.NotFoundException;
import org.jboss.resteasy.reactive.server.ServerRequestFilter;

/**
 * A name in a path is all of it. What follows a semicolon JAX-RS would take for parameters of the path and leave out:
 * whoever removes {@code a;b} would remove {@code a}.
 */
public class PathNames {
    @ServerRequestFilter(preMatching = true)
    void refuseParameters(RoutingContext exchange) {
        String path = exchange.request().path();
        if (path != null && path.indexOf(';') >= 0) {
            throw new NotFoundException();
        }
    }
}
