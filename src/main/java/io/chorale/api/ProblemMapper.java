package io.chorale.api;

import io.chorale.adapter.AdapterRefusal;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.serving.Door;
import io.chorale.serving.Lifecycle;
import jakarta.ws.rs.NotAcceptableException;
import jakarta.ws.rs.NotAllowedException;
import jakarta.ws.rs.NotFoundException;
import jakarta.ws.rs.NotSupportedException;
import jakarta.ws.rs.WebApplicationException;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import jakarta.ws.rs.core.UriInfo;
import java.time.Duration;
import org.jboss.logging.Logger;
import org.jboss.resteasy.reactive.server.ServerExceptionMapper;

/** The one place where a reason becomes a status, a code and advice about retrying. */
public class ProblemMapper {
    private static final Logger LOG = Logger.getLogger(ProblemMapper.class);

    /** Said where nothing better is known: long enough to matter, short enough not to. */
    private static final Duration RETRY_SOON = Duration.ofSeconds(1);

    /** @param retryAfterNanos what the scheduler knows about it; 0: nothing */
    static Problem problemOf(DropReason reason, String detail, long retryAfterNanos) {
        Duration later = retryAfterNanos > 0 ? Duration.ofNanos(retryAfterNanos) : RETRY_SOON;
        return switch (reason) {
            case SLO_UNREACHABLE -> Problem.overloaded(503, "slo_unreachable", sentence(detail), later);
            case QUOTA_EXCEEDED -> Problem.overloaded(429, "rate_limit_exceeded", sentence(detail), later);
            case CANCELLED -> Problem.failed(499, "cancelled", sentence(detail), Problem.Retry.NO);
            case SLOW_CONSUMER -> Problem.failed(500, "slow_consumer", sentence(detail), Problem.Retry.NO);
            case REFUSED -> Problem.invalid(400, "request_refused", null, sentence(detail));
            case ADAPTER_FAILED ->
                Problem.invalid(422, "adapter_failed", "model", "The adapter could not be loaded: " + detail);
            case ADAPTER_UNAVAILABLE -> Problem.overloaded(503, "adapter_unavailable", sentence(detail), RETRY_SOON);
            case STEP_FAILED -> Problem.failed(500, "step_failed", sentence(detail), Problem.Retry.YES);
            case NO_TOKEN -> Problem.failed(500, "no_token", sentence(detail), Problem.Retry.NO);
            case ENGINE_DEAD -> Problem.failed(503, "engine_dead", sentence(detail), Problem.Retry.YES);
            case DRAINING -> Problem.overloaded(503, "draining", sentence(detail), RETRY_SOON);
        };
    }

    static Problem problemOf(Door.Decision.Refused refused, ModelCatalog catalog) {
        RequestSpec spec = refused.spec();
        return switch (refused.reason()) {
            case CONTEXT_EXCEEDED ->
                CompletionReader.tooLong(catalog.contextMax(), spec.sampling().tokensMax(), spec.promptTokens().length);
            case NEVER_FITS -> Problem.invalid(400, "request_too_large", null, sentence(refused.detail()));
            case TENANT_BUSY, QUOTA_EXCEEDED ->
                Problem.overloaded(429, "rate_limit_exceeded", sentence(refused.detail()), refused.retryAfter());
            case SLO_UNREACHABLE ->
                Problem.overloaded(503, "slo_unreachable", sentence(refused.detail()), refused.retryAfter());
            case QUEUE_FULL, QUEUE_TOKENS_FULL ->
                Problem.overloaded(
                        503,
                        "server_overloaded",
                        "The server is overloaded: " + refused.detail() + ". Please try again later.",
                        refused.retryAfter());
        };
    }

    static Problem problemOf(Lifecycle.Standing standing) {
        return switch (standing.state()) {
            case STARTING, WARMING ->
                Problem.overloaded(503, "starting", "The server is starting. Please try again soon.", RETRY_SOON);
            case SERVING, DRAINING ->
                Problem.overloaded(503, "draining", "The server is shutting down. Please try another one.", RETRY_SOON);
            case DEAD ->
                Problem.failed(503, "engine_dead", "The engine is dead: " + standing.detail(), Problem.Retry.YES);
        };
    }

    static Problem problemOf(AdapterRefusal refusal) {
        String message = sentence(refusal.message());
        return switch (refusal.kind()) {
            case MALFORMED -> Problem.invalid(400, "invalid_value", null, message);
            case FORBIDDEN -> Problem.invalid(403, "source_forbidden", "source", message);
            case NOT_FOUND -> Problem.invalid(404, "adapter_not_found", null, message);
            case CONFLICT, TAKEN -> Problem.invalid(409, "conflict", null, message);
            case TOO_LARGE -> Problem.invalid(413, "request_too_large", null, message);
            case INVALID ->
                Problem.invalid(
                                422,
                                "adapter_invalid",
                                null,
                                sentence(refusal.message() + ": " + String.join("; ", refusal.problems())))
                        .listing(refusal.problems());
            case NO_ROOM -> Problem.invalid(409, "no_room", null, message);
            case SOURCE_FAILED -> Problem.failed(502, "source_failed", message, Problem.Retry.YES);
        };
    }

    /** A clause as others tell it, made a sentence for clients. */
    static String sentence(String detail) {
        return detail.isEmpty()
                ? "The request was dropped."
                : Character.toUpperCase(detail.charAt(0)) + detail.substring(1) + ".";
    }

    // ---- exceptions of the endpoints ----

    @ServerExceptionMapper
    Response map(Problem problem) {
        return response(problem);
    }

    static Response response(Problem problem) {
        JsonBytes body = new JsonBytes();
        problem.write(body);
        Response.ResponseBuilder response = Response.status(problem.status())
                .type(MediaType.APPLICATION_JSON_TYPE.withCharset("UTF-8"))
                .entity(body.take());
        switch (problem.retry()) {
            case UNSAID -> {}
            case NO -> response.header("x-should-retry", "false");
            case YES -> {
                // Client libraries obey the first of these that they know.
                long millis = Math.max(1, problem.retryAfter().toMillis());
                response.header("retry-after-ms", millis);
                response.header("Retry-After", (millis + 999) / 1000);
                response.header("x-should-retry", "true");
            }
        }
        if (problem.status() == 401) {
            response.header("WWW-Authenticate", "Bearer");
        }
        return response.build();
    }

    @ServerExceptionMapper
    Response map(NotFoundException none, @Context UriInfo uri) {
        return response(Problem.invalid(
                404,
                "not_found",
                null,
                "There is nothing at " + uri.getRequestUri().getPath() + "."));
    }

    @ServerExceptionMapper
    Response map(NotAllowedException wrong, @Context UriInfo uri) {
        String path = uri.getRequestUri().getPath();
        Response problem = response(
                Problem.invalid(405, "method_not_allowed", null, "This method is not allowed at " + path + "."));
        return Response.fromResponse(problem)
                .header("Allow", AllowedMethods.at(path))
                .build();
    }

    @ServerExceptionMapper
    Response map(NotSupportedException wrong) {
        return response(Problem.invalid(
                415, "unsupported_media_type", null, "The request body must be JSON: Content-Type: application/json."));
    }

    @ServerExceptionMapper
    Response map(NotAcceptableException wrong) {
        return response(Problem.invalid(
                406, "not_acceptable", null, "This server answers with JSON: Accept: application/json."));
    }

    @ServerExceptionMapper
    Response map(WebApplicationException other) {
        int status = other.getResponse().getStatus();
        return status < 400
                ? other.getResponse()
                : response(Problem.invalid(status, "http_" + status, null, String.valueOf(other.getMessage())));
    }

    @ServerExceptionMapper
    Response map(RuntimeException bug) {
        LOG.error("a request failed for a reason that nobody foresaw", bug);
        return response(
                Problem.failed(500, "internal_error", "The server failed; its log says why.", Problem.Retry.UNSAID));
    }
}
