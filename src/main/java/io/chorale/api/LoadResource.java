package io.chorale.api;

import io.chorale.core.model.LoadSnapshot;
import io.chorale.serving.Door;
import io.chorale.serving.Lifecycle;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;

/** {@code GET /v1/load}: what the engine is busy with, for people and pages. */
@Path("/v1/load")
public class LoadResource {
    private final Lifecycle lifecycle;
    private final Door door;

    LoadResource(Lifecycle lifecycle, Door door) {
        this.lifecycle = lifecycle;
        this.door = door;
    }

    /** The load after the last step. */
    @GET
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
        out.raw(",\"cached\":").number(load.prefixes().pagesCached());
        out.raw(",\"quarantined\":").number(load.pagesQuarantined());
        out.raw(",\"free\":").number(load.pagesFree());
        out.raw("},\"adapters_resident\":").number(load.residentAdapters().length);
        out.raw(",\"steps\":").number(load.steps());
        out.raw(",\"rows\":").number(load.rows());
        out.raw(",\"answer_tokens\":").number(load.answerTokens());
        out.raw(",\"prefix_tokens\":{\"queried\":").number(load.prefixes().tokensQueried());
        out.raw(",\"found\":").number(load.prefixes().tokensFound());
        out.raw("},\"preemptions\":").number(load.preemptions());
        out.raw(",\"adapter_loads\":").number(load.adapterLoads());
        out.raw(",\"adapter_evictions\":").number(load.evictions()).raw("}");
        return out.take();
    }
}
