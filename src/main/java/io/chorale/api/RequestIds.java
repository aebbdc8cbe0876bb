package io.chorale.api;

import io.quarkus.vertx.http.runtime.filters.Filters;
import io.vertx.core.http.HttpServerRequest;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import java.util.UUID;
import java.util.regex.Pattern;

/** Echoes {@code x-request-id} on every response, whatever it is, and makes one up where the client sent none. */
@Singleton
public class RequestIds {
    static final String HEADER = "x-request-id";

    /** Before whatever may answer. */
    private static final int FIRST = BodyGuard.FIRST + 1;

    private static final Pattern USABLE = Pattern.compile("[\\x21-\\x7E]{1,128}");

    void register(@Observes Filters filters) {
        filters.register(
                context -> {
                    echo(context.request());
                    context.next();
                },
                FIRST);
    }

    static void echo(HttpServerRequest request) {
        String asked = request.getHeader(HEADER);
        boolean usable = asked != null && USABLE.matcher(asked).matches();
        request.response().putHeader(HEADER, usable ? asked : UUID.randomUUID().toString());
    }
}
