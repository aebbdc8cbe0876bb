package io.chorale.api;

import io.vertx.core.http.HttpServerRequest;
import jakarta.ws.rs.core.Context;
import java.util.UUID;
import java.util.regex.Pattern;
import org.jboss.resteasy.reactive.server.ServerRequestFilter;

/** Echoes {@code x-request-id} on every response, whatever it is, and makes one up where the client sent none. */
public class RequestIds {
    static final String HEADER = "x-request-id";

    private static final Pattern USABLE = Pattern.compile("[\\x21-\\x7E]{1,128}");

    @ServerRequestFilter(preMatching = true)
    void echo(@Context HttpServerRequest request) {
        String asked = request.getHeader(HEADER);
        boolean usable = asked != null && USABLE.matcher(asked).matches();
        request.response().putHeader(HEADER, usable ? asked : UUID.randomUUID().toString());
    }
}
