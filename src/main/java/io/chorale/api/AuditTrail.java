package io.chorale.api;

import io.chorale.access.AuditLog;
import io.chorale.access.Identity;
import io.vertx.core.net.SocketAddress;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.inject.Instance;
import jakarta.ws.rs.container.ContainerRequestContext;
import jakarta.ws.rs.container.ContainerResponseContext;
import jakarta.ws.rs.container.ContainerResponseFilter;
import jakarta.ws.rs.ext.Provider;
import java.nio.charset.StandardCharsets;
import java.time.InstantSource;
import org.jspecify.annotations.Nullable;

/** Writes down every call that only administrators may make, whoever made it and however it ended. */
@Provider
@AdminOnly
public class AuditTrail implements ContainerResponseFilter {
    private static final String SUBJECT = AuditTrail.class.getName();

    /** Of what a client made up. */
    private static final int CHARS_MAX = 512;

    private final InstantSource wallClock = InstantSource.system();
    private final Instance<AuditLog> log;
    private final Instance<RoutingContext> exchanges;

    AuditTrail(Instance<AuditLog> log, Instance<RoutingContext> exchanges) {
        this.log = log;
        this.exchanges = exchanges;
    }

    /** Notes what a call is about, where its path does not say so. */
    static void about(RoutingContext exchange, @Nullable String adapter) {
        exchange.put(SUBJECT, adapter);
    }

    @Override
    public void filter(ContainerRequestContext request, ContainerResponseContext response) {
        RoutingContext exchange = exchanges.get();
        Identity identity = ApiKeys.of(exchange);
        SocketAddress from = exchange.request().remoteAddress();
        String requestId = exchange.response().headers().get(RequestIds.HEADER);
        String subject = exchange.get(SUBJECT);
        JsonBytes out = new JsonBytes();
        out.raw("{\"time\":").string(wallClock.instant().toString());
        out.raw(",\"who\":").string(identity.id().isEmpty() ? "nobody" : identity.id());
        out.raw(",\"from\":").string(from == null ? "" : String.valueOf(from.hostAddress()));
        out.raw(",\"did\":")
                .string(request.getMethod() + " "
                        + bounded(String.valueOf(exchange.request().path())));
        if (subject != null) {
            out.raw(",\"adapter\":").string(bounded(subject));
        }
        out.raw(",\"status\":").number(response.getStatus());
        out.raw(",\"request_id\":").string(requestId == null ? "" : requestId).raw("}");
        log.get().write(new String(out.take(), StandardCharsets.UTF_8));
    }

    private static String bounded(String text) {
        return text.length() > CHARS_MAX ? text.substring(0, CHARS_MAX) : text;
    }
}
