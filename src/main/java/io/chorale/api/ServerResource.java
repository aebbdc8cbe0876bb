package io.chorale.api;

import io.chorale.core.model.LoadSnapshot;
import io.chorale.serving.Door;
import io.chorale.serving.Lifecycle;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import org.eclipse.microprofile.config.inject.ConfigProperty;

/** What other servers tell about themselves: {@code /health}, {@code /version}, {@code /v1/load}. */
@Path("/")
public class ServerResource {
    private final Lifecycle lifecycle;
    private final Door door;
    private final String version;

    ServerResource(
            Lifecycle lifecycle, Door door, @ConfigProperty(name = "quarkus.application.version") String version) {
        this.lifecycle = lifecycle;
        this.door = door;
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
        return new JsonBytes().raw("{\"version\":").string(version).raw("}").take();
    }

    /** The load after the last step. */
    @GET
    @Path("v1/load")
    @Produces(MediaType.APPLICATION_JSON)
    public byte[] load() {
        LoadSnapshot load = door.snapshot();
        JsonBytes out = new JsonBytes();
        out.raw("{\"state\":").string(lifecycle.state().name());
        out.raw(",\"requests\":{\"waiting\":").number(load.waitingRequests());
        out.raw(",\"running\":").number(load.runningSequences());
        out.raw(",\"waiting_tokens\":").number(load.waitingTokens());
        out.raw("},\"pages\":{\"total\":").number(load.pagesTotal());
        out.raw(",\"kv\":").number(load.pagesKv());
        out.raw(",\"adapter\":").number(load.pagesAdapter());
        out.raw(",\"quarantined\":").number(load.pagesQuarantined());
        out.raw(",\"free\":").number(load.pagesFree());
        out.raw("},\"adapters_resident\":").number(load.residentAdapters().length);
        out.raw(",\"steps\":").number(load.steps());
        out.raw(",\"rows\":").number(load.rows());
        out.raw(",\"answer_tokens\":").number(load.answerTokens());
        out.raw(",\"preemptions\":").number(load.preemptions());
        out.raw(",\"adapter_loads\":").number(load.adapterLoads());
        out.raw(",\"adapter_evictions\":").number(load.evictions()).raw("}");
        return out.take();
    }
}
