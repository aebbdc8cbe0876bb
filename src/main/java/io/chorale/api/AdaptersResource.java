package io.chorale.api;

import com.fasterxml.jackson.databind.JsonNode;
import io.chorale.access.AdapterScope;
import io.chorale.adapter.AdapterAdministration;
import io.chorale.adapter.AdapterAdministration.Outcome;
import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.NamedAdapter;
import io.smallrye.common.annotation.Blocking;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.DELETE;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.PUT;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.PathParam;
import jakarta.ws.rs.QueryParam;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.io.InputStream;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Adapters as resources.
 *
 * <pre>
 * GET    /v1/adapters?after=NAME&search=PART&limit=N   what there is, in the order of names, and where
 * GET    /v1/adapters/NAME
 * PUT    /v1/adapters/NAME                 {"source":"..."} or an archive: 201 new, 200 replaced or the same
 * DELETE /v1/adapters/NAME                 204; requests that run on it end as they would have
 * POST   /v1/adapters/NAME/pin | unpin | prefetch
 * POST   /v1/adapters/NAME/rollback        {} or {"version":"..."}
 * POST   /v1/adapters/validate             {"source":"..."} or an archive: 200, or 422 with all that is wrong
 * </pre>
 *
 * Looking is for everybody, the rest for administrators.
 */
@Path("/v1/adapters")
public class AdaptersResource {
    private static final Set<String> SOURCE_FIELDS = Set.of("source", "sha256");
    private static final Set<String> ROLLBACK_FIELDS = Set.of("version");
    private static final int LIMIT_MAX = 1_000;
    private static final int LIMIT_DEFAULT = 100;

    private final AdapterAdministration administration;
    private final AdapterJson json;

    AdaptersResource(AdapterAdministration administration, AdapterJson json) {
        this.administration = administration;
        this.json = json;
    }

    @GET
    public Response list(
            @QueryParam("after") @Nullable String after,
            @QueryParam("search") @Nullable String part,
            @QueryParam("limit") @Nullable String limit,
            @Context RoutingContext routing) {
        AdapterScope scope = ApiKeys.of(routing).adapters();
        int countMax = limit == null ? LIMIT_DEFAULT : limit(limit);
        List<NamedAdapter> found = json.registry()
                .namesAfter(
                        after == null ? "" : after,
                        name -> scope.allows(name) && (part == null || name.contains(part)),
                        countMax + 1);
        JsonBytes out = new JsonBytes();
        out.raw("{\"object\":\"list\",\"data\":[");
        int count = Math.min(found.size(), countMax);
        for (int i = 0; i < count; i++) {
            out.raw(i == 0 ? "" : ",");
            json.write(found.get(i), out);
        }
        out.raw("],\"has_more\":").flag(found.size() > countMax);
        out.raw(",\"total\":").number(json.registry().size(scope::allows)).raw(",\"host\":");
        json.writeHost(out);
        return AdminCall.answer(200, out.raw("}"));
    }

    private static int limit(String text) {
        try {
            int limit = Integer.parseInt(text);
            if (limit >= 1 && limit <= LIMIT_MAX) {
                return limit;
            }
        } catch (NumberFormatException notANumber) {
            // Refused like a number out of range.
        }
        throw Problem.badValue("limit", "'limit' must be an integer from 1 to " + LIMIT_MAX + ".");
    }

    @GET
    @Path("/{name}")
    public Response get(@PathParam("name") String name, @Context RoutingContext routing) {
        return adapter(200, name, ApiKeys.of(routing).adapters());
    }

    @PUT
    @Path("/{name}")
    @Consumes(MediaType.APPLICATION_JSON)
    @AdminOnly
    @Blocking
    public Response load(@PathParam("name") String name, Fields body) {
        return AdminCall.granted(() -> {
            Outcome outcome = administration.load(name, source(body), sha256(body), true);
            return adapter(outcome == Outcome.ADDED ? 201 : 200, name);
        });
    }

    @PUT
    @Path("/{name}")
    @Consumes(MediaType.WILDCARD)
    @AdminOnly
    @Blocking
    public Response upload(@PathParam("name") String name, InputStream archive) {
        return AdminCall.granted(() -> {
            Outcome outcome = administration.upload(name, archive);
            return adapter(outcome == Outcome.ADDED ? 201 : 200, name);
        });
    }

    @DELETE
    @Path("/{name}")
    @AdminOnly
    @Blocking
    public Response remove(@PathParam("name") String name) {
        return AdminCall.granted(() -> {
            administration.remove(name);
            return Response.noContent().build();
        });
    }

    @POST
    @Path("/validate")
    @Consumes(MediaType.APPLICATION_JSON)
    @AdminOnly
    @Blocking
    public Response validate(Fields body) {
        return AdminCall.granted(() -> {
            JsonBytes out = new JsonBytes();
            AdapterJson.writeReport(administration.validate(source(body), sha256(body)), out);
            return AdminCall.answer(200, out);
        });
    }

    @POST
    @Path("/validate")
    @Consumes(MediaType.WILDCARD)
    @AdminOnly
    @Blocking
    public Response validate(InputStream archive) {
        return AdminCall.granted(() -> {
            JsonBytes out = new JsonBytes();
            AdapterJson.writeReport(administration.validate(archive), out);
            return AdminCall.answer(200, out);
        });
    }

    @POST
    @Path("/{name}/pin")
    @AdminOnly
    @Blocking
    public Response pin(@PathParam("name") String name) {
        return AdminCall.granted(() -> {
            administration.pin(name);
            return adapter(200, name);
        });
    }

    @POST
    @Path("/{name}/unpin")
    @AdminOnly
    @Blocking
    public Response unpin(@PathParam("name") String name) {
        return AdminCall.granted(() -> {
            administration.unpin(name);
            return adapter(200, name);
        });
    }

    /** Begins to bring it into host memory and does not wait for it. */
    @POST
    @Path("/{name}/prefetch")
    @AdminOnly
    @Blocking
    public Response prefetch(@PathParam("name") String name) {
        return AdminCall.granted(() -> {
            administration.prefetch(name);
            return adapter(202, name);
        });
    }

    @POST
    @Path("/{name}/rollback")
    @AdminOnly
    @Blocking
    @Consumes(MediaType.APPLICATION_JSON)
    public Response rollBack(@PathParam("name") String name, Fields body) {
        return AdminCall.granted(() -> {
            body.onlyKnows(ROLLBACK_FIELDS);
            String version = body.text("version");
            administration.rollBack(name, version == null ? "" : version);
            return adapter(200, name);
        });
    }

    private static String source(Fields body) {
        body.onlyKnows(SOURCE_FIELDS);
        String source = body.text("source");
        if (source == null || source.isEmpty()) {
            throw Problem.missing("source");
        }
        return source;
    }

    private static Optional<String> sha256(Fields body) {
        JsonNode given = body.get("sha256");
        String text = given == null ? null : body.text("sha256");
        if (text != null && !text.matches("[0-9a-fA-F]{64}")) {
            throw Problem.badValue("sha256", "'sha256' must be 64 hexadecimal digits.");
        }
        return Optional.ofNullable(text);
    }

    private Response adapter(int status, String name) {
        return adapter(status, name, AdapterScope.ALL);
    }

    private Response adapter(int status, String name, AdapterScope scope) {
        NamedAdapter named = json.registry()
                .named(name)
                .filter(known -> scope.allows(known.name()))
                .orElseThrow(() -> ProblemMapper.problemOf(
                        new AdapterRefusal(AdapterRefusal.Kind.NOT_FOUND, "there is no adapter '" + name + "'")));
        JsonBytes out = new JsonBytes();
        json.write(named, out);
        return AdminCall.answer(status, out);
    }
}
