package io.chorale.api;

import io.chorale.serving.Lifecycle;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/** What other servers tell about themselves: {@code /health} and {@code /version}. */
@Path("/")
public class ServerResource {
    private final Lifecycle lifecycle;
    private final Version version;

    /** Which build of the server this is. */
    public record Version(String text) {}

    ServerResource(Lifecycle lifecycle, Version version) {
        this.lifecycle = lifecycle;
        this.version = version;
    }

    /** Empty; 200 while requests are accepted, else 503. The probes of Kubernetes are at {@code /q/health}. */
    @GET
    @Path("health")
    public Response health() {
        return Response.status(lifecycle.state() == Lifecycle.State.SERVING ? 200 : 503)
                .build();
    }

    @GET
    @Path("version")
    @Produces(MediaType.APPLICATION_JSON)
    public byte[] version() {
        return new JsonBytes()
                .raw("{\"version\":")
                .string(version.text())
                .raw("}")
                .take();
    }
}
