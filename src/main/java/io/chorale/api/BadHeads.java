package io.chorale.api;

import io.vertx.core.VertxException;
import io.vertx.core.buffer.Buffer;
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
        JsonBytes body = new JsonBytes();
        Problem.invalid(400, "invalid_request", null, refused.getMessage() + ".")
                .write(body);
        context.response()
                .setStatusCode(400)
                .putHeader("Content-Type", "application/json;charset=UTF-8")
                .putHeader("Connection", "close")
                .end(Buffer.buffer(body.take()));
    }
}
