package io.chorale.api;

import io.vertx.core.VertxException;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;

/** Answers heads that the HTTP layer refuses, such as one without Host, in our shape; they are no error of the server's. */
@Singleton
public class BadHeads {
    /** Before the handlers of failures that others put there. */
    private static final int FIRST = Integer.MIN_VALUE;

    void register(@Observes Router router) {
        router.route().order(FIRST).failureHandler(BadHeads::answer);
    }

    private static void answer(RoutingContext context) {
        if (context.statusCode() != 400 || !(context.failure() instanceof VertxException refused)) {
            context.next();
            return;
        }
        // Nothing else has seen this request.
        RequestIds.echo(context.request());
        UnreadRequest.refuse(context, Problem.invalid(400, "invalid_request", null, refused.getMessage() + "."));
    }
}
