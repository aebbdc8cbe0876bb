package io.chorale.api;

import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Why a request gets an error instead of an answer, in OpenAI's shape: {@code {"error":{"message","type","param","code"}}}.
 * Expected, so it carries no stack trace.
 */
final class Problem extends RuntimeException {
    /** Whether sending the same request again makes sense. */
    enum Retry {
        /** Nothing is said; client libraries decide by the status. */
        UNSAID,
        NO,
        /** Later: {@link #retryAfter} says when. */
        YES
    }

    private final int status;
    private final String type;
    private final String code;
    private final @Nullable String param;
    private final Retry retry;
    private final Duration retryAfter;
    private final List<String> problems;

    private Problem(
            int status,
            String type,
            String code,
            @Nullable String param,
            String message,
            Retry retry,
            Duration retryAfter,
            List<String> problems) {
        super(message, null, false, false);
        this.status = status;
        this.type = type;
        this.code = code;
        this.param = param;
        this.retry = retry;
        this.retryAfter = retryAfter;
        this.problems = List.copyOf(problems);
    }

    /** The same with a list of all that is wrong, a sentence each. */
    Problem listing(List<String> all) {
        return new Problem(status, type, code, param, message(), retry, retryAfter, all);
    }

    /** The request itself is wrong. */
    static Problem invalid(int status, String code, @Nullable String param, String message) {
        return new Problem(
                status, "invalid_request_error", code, param, message, Retry.UNSAID, Duration.ZERO, List.of());
    }

    static Problem unauthorized(String message) {
        return new Problem(
                401, "authentication_error", "invalid_api_key", null, message, Retry.NO, Duration.ZERO, List.of());
    }

    static Problem missing(String param) {
        return invalid(400, "missing_parameter", param, "You must provide a '" + param + "' parameter.");
    }

    static Problem badValue(String param, String message) {
        return invalid(400, "invalid_value", param, message);
    }

    static Problem unsupported(String param) {
        return unsupported(param, "'" + param + "' is not supported by this server.");
    }

    static Problem unsupported(String param, String message) {
        return invalid(400, "unsupported_parameter", param, message);
    }

    /** The server does not answer now, but will. */
    static Problem overloaded(int status, String code, String message, Duration retryAfter) {
        String type = status == 429 ? "rate_limit_error" : "server_error";
        return new Problem(status, type, code, null, message, Retry.YES, retryAfter, List.of());
    }

    /** The server failed. */
    static Problem failed(int status, String code, String message, Retry retry) {
        return new Problem(status, "server_error", code, null, message, retry, Duration.ofSeconds(1), List.of());
    }

    int status() {
        return status;
    }

    String code() {
        return code;
    }

    Retry retry() {
        return retry;
    }

    Duration retryAfter() {
        return retryAfter;
    }

    String message() {
        return String.valueOf(getMessage());
    }

    /** Writes {@code {"error":{...}}}. */
    void write(JsonBytes out) {
        out.raw("{\"error\":");
        writeInner(out);
        out.raw("}");
    }

    /** Writes the value of {@code error} alone. */
    void writeInner(JsonBytes out) {
        out.raw("{\"message\":").string(message());
        out.raw(",\"type\":").string(type).raw(",\"param\":");
        if (param == null) {
            out.raw("null");
        } else {
            out.string(param);
        }
        out.raw(",\"code\":").string(code);
        if (!problems.isEmpty()) {
            out.raw(",\"problems\":").strings(problems);
        }
        out.raw("}");
    }
}
