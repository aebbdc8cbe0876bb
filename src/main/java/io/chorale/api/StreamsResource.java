package io.chorale.api;

import com.fasterxml.jackson.databind.JsonNode;
import io.chorale.api.CompletionRequest.Shape;
import io.chorale.serving.RequestReport;
import io.chorale.serving.RequestReporter;
import io.smallrye.mutiny.Uni;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.DELETE;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.HEAD;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.PathParam;
import jakarta.ws.rs.WebApplicationException;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.net.URI;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Consumer;
import org.jboss.resteasy.reactive.RestMulti;

/**
 * Streams for whoever has an {@code EventSource}, which can only GET: a POST hands in the requests and gets a ticket, a
 * GET listens. One stream carries the answers to many requests, since a browser opens six connections to a host at most.
 *
 * <pre>
 * POST /v1/streams      {"requests":[{chat or completions request}, ...]}, or one such request alone
 *   201                 {"id":"…","url":"/v1/streams/…","expires":1712345708}; all requests are through the door
 * GET /v1/streams/{id}  text/event-stream; with Last-Event-ID, from the event after it on
 *   id: 7
 *   data: {"request":0,"chunk":{…}}          a chunk as the endpoint of the request would have sent it
 *   id: 8
 *   data: {"request":2,"error":{…}}          this request ends without a full answer; the others go on
 *   event: end
 *   id: 9
 *   data: {}                                 all requests have ended; a stream without it is cut
 *   204                 everything up to the end was seen: nothing to come back for
 *   410                 what follows Last-Event-ID is not kept any more
 * DELETE /v1/streams/{id}                    204; cancels what is under way
 * </pre>
 *
 * A stream that nobody listens to for {@code chorale.stream.resume-grace} is cancelled and forgotten. When a second
 * connection listens, the first is cut off. The id is the right to listen: it cannot be guessed.
 */
@Path("/v1/streams")
public class StreamsResource {
    private static final int REQUESTS_MAX = 64;

    private final CompletionReader reader;
    private final Callers callers;
    private final StreamSessions sessions;
    private final RequestReporter reporter;

    StreamsResource(CompletionReader reader, Callers callers, StreamSessions sessions, RequestReporter reporter) {
        this.reader = reader;
        this.callers = callers;
        this.sessions = sessions;
        this.reporter = reporter;
    }

    @POST
    @Consumes(MediaType.APPLICATION_JSON)
    public Uni<Response> open(Fields body, @Context RoutingContext routing) {
        HttpServerRequest http = routing.request();
        ScheduledExecutorService eventLoop = EventLoops.of(http);
        Caller caller = callers.of(routing);
        Consumer<RequestReport> report = reporter.begin();
        return Reading.of(http, eventLoop, () -> requests(body, caller))
                .onTermination()
                .invoke(() -> BodyBudget.giveBack(routing))
                .flatMap(requests -> sessions.open(requests, eventLoop, () -> Exchange.begin(http, report)))
                .onFailure()
                .invoke(refused -> Exchange.begin(http, report).refused(refused))
                .map(this::ticket);
    }

    private List<CompletionRequest> requests(Fields body, Caller caller) {
        JsonNode list = body.get("requests");
        if (list == null) {
            return List.of(request(body, caller));
        }
        if (!list.isArray()) {
            throw body.wrongType("requests", "a list of requests", list);
        }
        if (list.isEmpty() || list.size() > REQUESTS_MAX) {
            throw Problem.badValue(
                    "requests",
                    "'requests' must have between 1 and " + REQUESTS_MAX + " requests, not " + list.size() + ".");
        }
        List<CompletionRequest> requests = new ArrayList<>();
        for (int i = 0; i < list.size(); i++) {
            String path = "requests[" + i + "]";
            if (!list.get(i).isObject()) {
                throw Fields.wrongTypeOf(path, "an object", list.get(i));
            }
            requests.add(request(new Fields(list.get(i), path + "."), caller));
        }
        return requests;
    }

    private CompletionRequest request(Fields fields, Caller caller) {
        boolean completions = fields.get("prompt") != null;
        if (completions && fields.get("messages") != null) {
            throw Problem.badValue(
                    fields.name("prompt"),
                    "A request has either 'messages', to be answered, or a 'prompt', to be continued.");
        }
        return reader.readStreamed(fields, completions ? Shape.TEXT : Shape.CHAT, caller);
    }

    private Response ticket(StreamSession session) {
        String url = "/v1/streams/" + session.id();
        long expires = InstantSource.system().instant().plus(sessions.grace()).getEpochSecond();
        JsonBytes out = new JsonBytes();
        out.raw("{\"id\":").string(session.id()).raw(",\"url\":").string(url);
        out.raw(",\"expires\":").number(expires).raw("}");
        return Response.created(URI.create(url))
                .type(MediaType.APPLICATION_JSON_TYPE.withCharset("UTF-8"))
                .entity(out.take())
                .build();
    }

    @GET
    @Path("/{id}")
    public RestMulti<byte[]> listen(@PathParam("id") String id, @Context HttpServerRequest http) {
        return RestMulti.fromUniResponse(
                sessions.listen(id, lastEventId(http), EventLoops.of(http))
                        .map(client -> Reply.events(client.orElseThrow(StreamsResource::nothingMore))),
                Reply::body,
                Reply::headers,
                Reply::status);
    }

    /** Whether it is there. Left to others, HEAD would listen, and cut off whoever does. */
    @HEAD
    @Path("/{id}")
    public Response look(@PathParam("id") String id) {
        sessions.find(id);
        return Response.ok().type(MediaType.SERVER_SENT_EVENTS).build();
    }

    /** A status without a body, which makes an {@code EventSource} stop coming back. */
    private static WebApplicationException nothingMore() {
        return new WebApplicationException(Response.noContent().build());
    }

    private static long lastEventId(HttpServerRequest http) {
        String header = http.getHeader("Last-Event-ID");
        if (header == null || header.isEmpty()) {
            return 0;
        }
        // Ids are counted from 1; what has more digits than a long can hold was never one.
        if (!header.matches("[0-9]{1,18}")) {
            throw Problem.badValue("Last-Event-ID", "'Last-Event-ID' must be the id of an event of this stream.");
        }
        return Long.parseLong(header);
    }

    @DELETE
    @Path("/{id}")
    public Response close(@PathParam("id") String id) {
        sessions.close(id);
        return Response.noContent().build();
    }
}
