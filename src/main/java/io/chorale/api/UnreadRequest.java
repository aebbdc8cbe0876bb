package io.chorale.api;

import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpVersion;
import io.vertx.ext.web.RoutingContext;

/**
 * A request that is answered before all of it is read. By HTTP/1 nothing else can come on its connection, which ends with
 * the answer; by HTTP/2 its stream ends alone, and the others on that connection go on.
 */
final class UnreadRequest {
    /** Of HTTP/2: the answer is whole, the rest of the request is not wanted. */
    private static final long NO_ERROR = 0;

    /** What is sent meanwhile is thrown away: whoever still sends looks at an answer only while it can send. */
    private static final long LINGER_MILLIS = 1_000;

    private UnreadRequest() {}

    /** The answer in our shape, where no endpoint can give it. */
    static void refuse(RoutingContext exchange, Problem problem) {
        leave(exchange);
        JsonBytes body = new JsonBytes();
        problem.write(body);
        exchange.response()
                .setStatusCode(problem.status())
                .putHeader("Content-Type", "application/json;charset=UTF-8")
                .end(Buffer.buffer(body.take()));
    }

    /** Before its answer is written. */
    static void leave(RoutingContext exchange) {
        if (!isHttp2(exchange)) {
            exchange.response().putHeader("Connection", "close");
        }
        exchange.addEndHandler(told -> linger(exchange));
    }

    private static void linger(RoutingContext exchange) {
        HttpServerRequest request = exchange.request();
        if (!request.isEnded()) {
            request.handler(discarded -> {}).resume();
            exchange.vertx().setTimer(LINGER_MILLIS, over -> end(exchange));
        } else if (!isHttp2(exchange)) {
            end(exchange);
        }
    }

    private static void end(RoutingContext exchange) {
        if (isHttp2(exchange)) {
            exchange.response().reset(NO_ERROR);
        } else {
            exchange.request().connection().close();
        }
    }

    private static boolean isHttp2(RoutingContext exchange) {
        return exchange.request().version() == HttpVersion.HTTP_2;
    }
}
