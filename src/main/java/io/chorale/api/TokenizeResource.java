package io.chorale.api;

import io.vertx.core.http.HttpServerRequest;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import java.io.InputStream;

/** The tokenizer alone, as vLLM has it: {@code POST /tokenize} and {@code POST /detokenize}. */
@Path("/")
@Consumes(MediaType.APPLICATION_JSON)
@Produces(MediaType.APPLICATION_JSON)
public class TokenizeResource {
    private final JsonBody json;
    private final CompletionReader reader;
    private final ModelCatalog catalog;

    TokenizeResource(JsonBody json, CompletionReader reader, ModelCatalog catalog) {
        this.json = json;
        this.reader = reader;
        this.catalog = catalog;
    }

    @POST
    @Path("tokenize")
    public byte[] tokenize(InputStream body, @Context HttpServerRequest http) {
        int[] ids = reader.prompts().tokenize(json.read(body, http.getHeader("Content-Length")));
        JsonBytes out = new JsonBytes();
        out.raw("{\"count\":").number(ids.length).raw(",\"max_model_len\":").number(catalog.contextMax());
        out.raw(",\"tokens\":");
        Choice.writeIds(ids, ids.length, out);
        return out.raw("}").take();
    }

    @POST
    @Path("detokenize")
    public byte[] detokenize(InputStream body, @Context HttpServerRequest http) {
        String text = reader.prompts().detokenize(json.read(body, http.getHeader("Content-Length")));
        return new JsonBytes().raw("{\"prompt\":").string(text).raw("}").take();
    }
}
