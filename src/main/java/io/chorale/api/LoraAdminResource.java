package io.chorale.api;

import io.chorale.adapter.AdapterAdministration;
import io.chorale.adapter.AdapterRefusal;
import io.smallrye.common.annotation.Blocking;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.io.IOException;
import java.util.Optional;

/**
 * vLLM's two endpoints, for tools that know them: {@code POST /v1/load_lora_adapter} and {@code POST
 * /v1/unload_lora_adapter}. Plain text when it went well; else vLLM's error, whose code is the status as a number.
 */
@Path("/v1")
@Consumes(MediaType.APPLICATION_JSON)
@AdminOnly
public class LoraAdminResource {
    private static final String WRONG = "InvalidUserInput";

    private final AdapterAdministration administration;

    LoraAdminResource(AdapterAdministration administration) {
        this.administration = administration;
    }

    @POST
    @Path("/load_lora_adapter")
    @Blocking
    public Response load(Fields body, @Context RoutingContext routing) {
        String name = body.text("lora_name");
        AuditTrail.about(routing, name);
        String path = body.text("lora_path");
        if (name == null || name.isEmpty() || path == null || path.isEmpty()) {
            return error(400, WRONG, "Both 'lora_name' and 'lora_path' must be provided.");
        }
        if (body.flag("is_3d_lora_weight", false)) {
            return error(400, WRONG, "'is_3d_lora_weight' is not supported by this server.");
        }
        boolean inPlace = body.flag("load_inplace", false);
        try {
            administration.load(name, path, Optional.empty(), inPlace);
            return success("Success: LoRA adapter '" + name + "' added successfully.");
        } catch (AdapterRefusal refusal) {
            return loadError(name, refusal);
        } catch (IOException failed) {
            return error(500, "InternalServerError", String.valueOf(failed.getMessage()));
        }
    }

    private static Response loadError(String name, AdapterRefusal refusal) {
        return switch (refusal.kind()) {
            case TAKEN ->
                error(
                        400,
                        WRONG,
                        "The lora adapter '" + name
                                + "' has already been loaded. If you want to load the adapter in place,"
                                + " set 'load_inplace' to True.");
            case CONFLICT -> error(400, WRONG, refusal.message() + ".");
            case NOT_FOUND -> error(404, "NotFoundError", refusal.message());
            case MALFORMED -> error(400, WRONG, refusal.message());
            case FORBIDDEN -> error(403, WRONG, refusal.message());
            case TOO_LARGE -> error(413, WRONG, refusal.message());
            case INVALID -> error(422, WRONG, refusal.message() + ": " + String.join("; ", refusal.problems()));
            case NO_ROOM, SOURCE_FAILED -> error(500, "InternalServerError", refusal.message());
        };
    }

    @POST
    @Path("/unload_lora_adapter")
    @Blocking
    public Response unload(Fields body, @Context RoutingContext routing) {
        String name = body.text("lora_name");
        AuditTrail.about(routing, name);
        if (name == null || name.isEmpty()) {
            return error(400, WRONG, "'lora_name' needs to be provided to unload a LoRA adapter.");
        }
        try {
            administration.remove(name);
            return success("Success: LoRA adapter '" + name + "' removed successfully.");
        } catch (AdapterRefusal unknown) {
            return error(404, "NotFoundError", "The lora adapter '" + name + "' cannot be found.");
        } catch (IOException failed) {
            return error(500, "InternalServerError", String.valueOf(failed.getMessage()));
        }
    }

    private static Response success(String sentence) {
        return Response.ok(sentence, MediaType.TEXT_PLAIN_TYPE.withCharset("UTF-8"))
                .build();
    }

    private static Response error(int status, String type, String message) {
        JsonBytes out = new JsonBytes().raw("{\"error\":{\"message\":").string(message);
        out.raw(",\"type\":")
                .string(type)
                .raw(",\"param\":null,\"code\":")
                .number(status)
                .raw("}}");
        return AdminCall.answer(status, out);
    }
}
