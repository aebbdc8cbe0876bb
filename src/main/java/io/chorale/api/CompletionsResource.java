package io.chorale.api;

import io.chorale.api.CompletionRequest.Shape;
import io.chorale.serving.RequestReporter;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import java.util.concurrent.ScheduledExecutorService;
import org.jboss.resteasy.reactive.RestMulti;

/** {@code POST /v1/chat/completions} and {@code POST /v1/completions}. */
@Path("/v1")
@Consumes(MediaType.APPLICATION_JSON)
public class CompletionsResource {
    private final CompletionReader reader;
    private final Callers callers;
    private final Answers answers;
    private final RequestReporter reporter;

    CompletionsResource(CompletionReader reader, Callers callers, Answers answers, RequestReporter reporter) {
        this.reader = reader;
        this.callers = callers;
        this.answers = answers;
        this.reporter = reporter;
    }

    @POST
    @Path("/chat/completions")
    public RestMulti<byte[]> chat(Fields body, @Context RoutingContext routing) {
        return answer(body, routing, Shape.CHAT);
    }

    @POST
    @Path("/completions")
    public RestMulti<byte[]> completions(Fields body, @Context RoutingContext routing) {
        return answer(body, routing, Shape.TEXT);
    }

    private RestMulti<byte[]> answer(Fields body, RoutingContext routing, Shape shape) {
        HttpServerRequest http = routing.request();
        ScheduledExecutorService eventLoop = EventLoops.of(http);
        Caller caller = callers.of(routing);
        Exchange exchange = Exchange.begin(http, reporter);
        return RestMulti.fromUniResponse(
                Reading.of(http, eventLoop, () -> reader.read(body, shape, caller))
                        .invoke(body::forget)
                        .onTermination()
                        .invoke(() -> BodyBudget.giveBack(routing))
                        .flatMap(request -> answers.answer(request, eventLoop, exchange, http.response()))
                        .onFailure()
                        .invoke(exchange::refused),
                Reply::body,
                Reply::headers,
                Reply::status);
    }
}
