package io.chorale.api;

import com.fasterxml.jackson.databind.JsonNode;
import io.chorale.access.AdapterScope;
import io.chorale.adapter.AdapterAdministration;
import io.chorale.adapter.AdapterAlias;
import io.chorale.adapter.AdapterAliases;
import io.chorale.adapter.AdapterRefusal;
import io.smallrye.common.annotation.Blocking;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.DELETE;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.PUT;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.PathParam;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Names that stand for adapters.
 *
 * <pre>
 * GET    /v1/aliases
 * GET    /v1/aliases/NAME
 * PUT    /v1/aliases/NAME   {"to":"ADAPTER"} or {"weights":{"ADAPTER":95,"ADAPTER@VERSION":5}}
 * DELETE /v1/aliases/NAME
 * </pre>
 *
 * A user, as the field {@code user} of a request names one, always gets the same of several adapters.
 */
@Path("/v1/aliases")
public class AliasesResource {
    private static final Set<String> FIELDS = Set.of("to", "weights");

    private final AdapterAdministration administration;
    private final AdapterAliases aliases;

    AliasesResource(AdapterAdministration administration, AdapterAliases aliases) {
        this.administration = administration;
        this.aliases = aliases;
    }

    @GET
    public Response list(@Context RoutingContext routing) {
        AdapterScope scope = ApiKeys.of(routing).adapters();
        JsonBytes out = new JsonBytes().raw("{\"object\":\"list\",\"data\":[");
        List<AdapterAlias> all = aliases.list().stream()
                .filter(alias -> scope.allows(alias.name()))
                .toList();
        for (int i = 0; i < all.size(); i++) {
            out.raw(i == 0 ? "" : ",");
            AdapterJson.write(all.get(i), out);
        }
        return AdminCall.answer(200, out.raw("]}"));
    }

    @GET
    @Path("/{name}")
    public Response get(@PathParam("name") String name, @Context RoutingContext routing) {
        return alias(name, ApiKeys.of(routing).adapters());
    }

    @PUT
    @Path("/{name}")
    @Consumes(MediaType.APPLICATION_JSON)
    @AdminOnly
    @Blocking
    public Response put(@PathParam("name") String name, Fields body) {
        List<AdapterAlias.Share> shares = shares(body);
        return AdminCall.granted(() -> {
            administration.alias(new AdapterAlias(name, shares));
            return alias(name, AdapterScope.ALL);
        });
    }

    private static List<AdapterAlias.Share> shares(Fields body) {
        body.onlyKnows(FIELDS);
        String to = body.text("to");
        Fields weights = body.child("weights");
        if ((to == null) == (weights == null)) {
            throw Problem.invalid(400, "missing_parameter", "to", "You must provide either 'to' or 'weights'.");
        }
        if (weights == null) {
            return List.of(new AdapterAlias.Share(String.valueOf(to), 1));
        }
        if (weights.object().isEmpty() || weights.object().size() > AdapterAlias.SHARES_MAX) {
            throw Problem.badValue("weights", "'weights' must name 1 to " + AdapterAlias.SHARES_MAX + " adapters.");
        }
        List<AdapterAlias.Share> shares = new ArrayList<>();
        for (Map.Entry<String, JsonNode> weight : weights.object().properties()) {
            String name = "weights." + weight.getKey();
            shares.add(new AdapterAlias.Share(weight.getKey(), Fields.number(name, weight.getValue(), 1e-6f, 1e9f)));
        }
        return shares;
    }

    @DELETE
    @Path("/{name}")
    @AdminOnly
    @Blocking
    public Response remove(@PathParam("name") String name) {
        return AdminCall.granted(() -> {
            administration.removeAlias(name);
            return Response.noContent().build();
        });
    }

    private Response alias(String name, AdapterScope scope) {
        AdapterAlias alias = aliases.find(name)
                .filter(known -> scope.allows(known.name()))
                .orElseThrow(() -> ProblemMapper.problemOf(
                        new AdapterRefusal(AdapterRefusal.Kind.NOT_FOUND, "there is no alias '" + name + "'")));
        JsonBytes out = new JsonBytes();
        AdapterJson.write(alias, out);
        return AdminCall.answer(200, out);
    }
}
