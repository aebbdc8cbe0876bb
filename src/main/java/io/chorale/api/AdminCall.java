package io.chorale.api;

import io.chorale.adapter.AdapterRefusal;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.io.IOException;

/** What calls of administrators have in common: a wish that is granted, or a refusal in OpenAI's shape. */
final class AdminCall {
    /** A wish of an administrator. */
    interface Wish {
        Response grant() throws AdapterRefusal, IOException;
    }

    private AdminCall() {}

    /** @throws Problem where the wish is not granted */
    static Response granted(Wish wish) {
        try {
            return wish.grant();
        } catch (AdapterRefusal refusal) {
            throw ProblemMapper.problemOf(refusal);
        } catch (IOException failed) {
            throw Problem.failed(
                    500, "io_error", "The server could not write its files: " + failed.getMessage(), Problem.Retry.NO);
        }
    }

    static Response answer(int status, JsonBytes json) {
        return Response.status(status)
                .type(MediaType.APPLICATION_JSON_TYPE.withCharset("UTF-8"))
                .entity(json.take())
                .build();
    }
}
