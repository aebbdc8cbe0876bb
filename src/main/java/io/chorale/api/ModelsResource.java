package io.chorale.api;

import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.PathParam;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;

/** {@code GET /v1/models}: the base model and its adapters. */
@Path("/v1/models")
@Produces(MediaType.APPLICATION_JSON)
public class ModelsResource {
    private final ModelCatalog catalog;

    ModelsResource(ModelCatalog catalog) {
        this.catalog = catalog;
    }

    @GET
    public byte[] all(@Context RoutingContext routing) {
        JsonBytes out = new JsonBytes();
        catalog.writeAll(ApiKeys.of(routing).adapters(), out);
        return out.take();
    }

    /** A name may have slashes. */
    @GET
    @Path("/{name:.+}")
    public byte[] one(@PathParam("name") String name, @Context RoutingContext routing) {
        JsonBytes out = new JsonBytes();
        catalog.writeOne(name, ApiKeys.of(routing).adapters(), out);
        return out.take();
    }
}
