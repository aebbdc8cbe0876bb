package io.chorale.api;

import io.chorale.api.CompletionRequest.Shape;
import io.vertx.core.http.HttpServerRequest;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import org.jboss.resteasy.reactive.RestMulti;

/** {@code POST /v1/chat/completions} and {@code POST /v1/completions}. */
@Path("/v1")
@Consumes(MediaType.APPLICATION_JSON)
public class CompletionsResource {
    private final CompletionReader reader;
    private final Answers answers;

    CompletionsResource(CompletionReader reader, Answers answers) {
        this.reader = reader;
        this.answers = answers;
    }

    @POST
    @Path("/chat/completions")
    public RestMulti<byte[]> chat(Fields body, @Context HttpServerRequest http) {
        return answer(body, http, Shape.CHAT);
    }

    @POST
    @Path("/completions")
    public RestMulti<byte[]> completions(Fields body, @Context HttpServerRequest http) {
        return answer(body, http, Shape.TEXT);
    }

    private RestMulti<byte[]> answer(Fields body, HttpServerRequest http, Shape shape) {
        CompletionRequest request = reader.read(body, shape);
        return RestMulti.fromUniResponse(
                answers.answer(request, EventLoops.of(http)), Reply::body, Reply::headers, Reply::status);
    }
}
