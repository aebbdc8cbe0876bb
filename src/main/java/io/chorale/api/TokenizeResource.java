package io.chorale.api;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;

/** The tokenizer alone, as vLLM has it: {@code POST /tokenize} and {@code POST /detokenize}. */
@Path("/")
@Consumes(MediaType.APPLICATION_JSON)
@Produces(MediaType.APPLICATION_JSON)
public class TokenizeResource {
    private final CompletionReader reader;
    private final ModelCatalog catalog;

    TokenizeResource(CompletionReader reader, ModelCatalog catalog) {
        this.reader = reader;
        this.catalog = catalog;
    }

    @POST
    @Path("tokenize")
    public byte[] tokenize(Fields body) {
        int[] ids = reader.prompts().tokenize(body);
        JsonBytes out = new JsonBytes();
        out.raw("{\"count\":").number(ids.length).raw(",\"max_model_len\":").number(catalog.contextMax());
        out.raw(",\"tokens\":");
        Choice.writeIds(ids, ids.length, out);
        return out.raw("}").take();
    }

    @POST
    @Path("detokenize")
    public byte[] detokenize(Fields body) {
        String text = reader.prompts().detokenize(body);
        return new JsonBytes().raw("{\"prompt\":").string(text).raw("}").take();
    }
}
