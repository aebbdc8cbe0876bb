package io.chorale.api;

import io.smallrye.mutiny.Uni;
import io.smallrye.mutiny.subscription.UniEmitter;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpMethod;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.container.ContainerRequestContext;
import jakarta.ws.rs.core.Response;
import java.io.ByteArrayInputStream;
import java.time.Duration;
import org.jboss.resteasy.reactive.server.ServerRequestFilter;
import org.jspecify.annotations.Nullable;

/**
 * Takes in the bodies of requests as they come, on the event loop, once it is known who asks: however slowly one is sent, no
 * thread waits for it. Long ones have their share of the {@link BodyBudget} before they are kept.
 */
public class BodyIntake {
    /** The framework takes in a body of no more like this itself; for a longer one it would have a thread wait. */
    private static final int PLAIN_BYTES_MAX = 8 << 10;

    private static final Duration RETRY_AFTER = Duration.ofSeconds(1);

    private final int bytesMax;
    private final Duration within;
    private final BodyBudget budget;

    BodyIntake(JsonBody.Limit limit) {
        this.bytesMax = limit.bytes();
        this.within = limit.within();
        this.budget = new BodyBudget(Math.max(limit.bytesOfAll(), limit.bytes()));
    }

    @ServerRequestFilter
    @Nullable
    Uni<Response> take(ContainerRequestContext request, RoutingContext exchange) {
        HttpServerRequest http = exchange.request();
        String length = http.getHeader("Content-Length");
        // The guard has seen that it is a length, and none that is too long.
        int declared = length == null ? -1 : Integer.parseInt(length);
        boolean plain = declared >= 0 && declared <= PLAIN_BYTES_MAX;
        boolean sends = http.method().equals(HttpMethod.POST) || http.method().equals(HttpMethod.PUT);
        if (plain || !sends || http.isEnded() || BodyGuard.isArchive(exchange)) {
            return null;
        }
        BodyBudget.Share share = budget.share(exchange);
        return Uni.createFrom().emitter(emitter -> new Taking(request, exchange, share, emitter).begin(declared));
    }

    /** Of one body. Event loop only. */
    private final class Taking {
        private final ContainerRequestContext request;
        private final RoutingContext exchange;
        private final BodyBudget.Share share;
        private final UniEmitter<? super Response> emitter;
        private final Buffer whole = Buffer.buffer();
        private boolean declared;
        private boolean refused;
        private int bytes;
        private long timer;

        Taking(
                ContainerRequestContext request,
                RoutingContext exchange,
                BodyBudget.Share share,
                UniEmitter<? super Response> emitter) {
            this.request = request;
            this.exchange = exchange;
            this.share = share;
            this.emitter = emitter;
        }

        void begin(int declaredBytes) {
            HttpServerRequest http = exchange.request();
            declared = declaredBytes >= 0;
            refused = declaredBytes > BodyBudget.SHORT_BYTES_MAX && !share.grow(declaredBytes);
            boolean asksFirst = "100-continue".equalsIgnoreCase(http.getHeader("Expect"));
            if (refused && asksFirst) {
                end();
                return;
            }
            if (asksFirst) {
                http.response().writeContinue();
            }
            timer = exchange.vertx()
                    .setTimer(
                            within.toMillis(),
                            late -> breakOff(Problem.invalid(
                                    408,
                                    "request_timeout",
                                    null,
                                    "The request body did not come within " + within.toSeconds() + " s.")));
            http.handler(this::piece)
                    .endHandler(ended -> end())
                    .exceptionHandler(gone -> settle(
                            Problem.invalid(400, "invalid_body", null, "The request body ended before it was whole.")));
            http.resume();
        }

        private void piece(Buffer piece) {
            bytes += Math.min(piece.length(), bytesMax + 1 - bytes);
            if (bytes > bytesMax) {
                breakOff(JsonBody.tooLarge(bytesMax));
                return;
            }
            refused = refused || (!declared && !share.grow(piece.length()));
            if (!refused) {
                whole.appendBuffer(piece);
            }
        }

        /** Who is refused was read to the end nevertheless: whoever still sends does not look at an answer. */
        private void end() {
            if (refused) {
                settle(Problem.overloaded(
                        503,
                        "server_overloaded",
                        "The server is overloaded: it reads as many long requests as it may. Please try again later.",
                        RETRY_AFTER));
                return;
            }
            exchange.vertx().cancelTimer(timer);
            request.setEntityStream(new ByteArrayInputStream(whole.getBytes()));
            emitter.complete(null);
        }

        /** What is left of the body is not read. */
        private void breakOff(Problem problem) {
            exchange.request().pause();
            UnreadRequest.leave(exchange);
            settle(problem);
        }

        private void settle(Problem problem) {
            exchange.vertx().cancelTimer(timer);
            share.giveBack();
            emitter.complete(ProblemMapper.response(problem));
        }
    }
}
