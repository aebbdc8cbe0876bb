package io.chorale.api;

import io.quarkus.vertx.http.runtime.filters.Filters;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import jakarta.ws.rs.core.MediaType;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Refuses a body that says it is too long, or what nobody reads, before a byte of it is read. */
@Singleton
public class BodyGuard {
    /** Before every filter of others: they already trust the head. */
    static final int FIRST = 10_000;

    private static final String ADAPTERS = "/v1/adapters/";

    private final int bodyBytesMax;
    private final long uploadBytesMax;

    /** @param bytes that an adapter's archive may have */
    public record UploadLimit(long bytes) {}

    BodyGuard(JsonBody.Limit limit, UploadLimit uploads) {
        this.bodyBytesMax = limit.bytes();
        this.uploadBytesMax = uploads.bytes();
    }

    void register(@Observes Filters filters) {
        filters.register(this::check, FIRST);
    }

    private void check(RoutingContext context) {
        if (!isMediaType(context.request().getHeader("Content-Type"))) {
            UnreadRequest.refuse(
                    context,
                    Problem.invalid(415, "unsupported_media_type", null, "The header Content-Type is no media type."));
            return;
        }
        boolean archive = isArchive(context);
        if (archive && context.request().getHeader("Content-Type") == null) {
            // As curl -T sends it; what has no type would be read as JSON.
            context.request().headers().set("Content-Type", MediaType.APPLICATION_OCTET_STREAM);
        }
        if (!archive && isEncoded(context.request().getHeader("Content-Encoding"))) {
            UnreadRequest.refuse(
                    context,
                    Problem.invalid(
                            415,
                            "unsupported_media_type",
                            null,
                            "The request body must be plain: a Content-Encoding is not taken."));
            return;
        }
        long bytesMax = archive ? uploadBytesMax : bodyBytesMax;
        if (declaresMoreThan(bytesMax, context.request().getHeader("Content-Length"))) {
            UnreadRequest.refuse(context, JsonBody.tooLarge(bytesMax));
        } else {
            context.next();
        }
    }

    /** One that is none would be found out only where nobody expects it any more. */
    private static boolean isMediaType(@Nullable String header) {
        try {
            return header == null || MediaType.valueOf(header) != null;
        } catch (IllegalArgumentException none) {
            return false;
        }
    }

    /** Compressed, it would be called wrong JSON; and what it unpacks to, no length says. */
    private static boolean isEncoded(@Nullable String contentEncoding) {
        return contentEncoding != null && !contentEncoding.equalsIgnoreCase("identity");
    }

    /** Archives of adapters are read as they come, and never as one piece. */
    static boolean isArchive(RoutingContext context) {
        String type = context.request().getHeader("Content-Type");
        boolean isJson = type != null && type.toLowerCase(Locale.ROOT).startsWith("application/json");
        return !isJson && context.normalizedPath().startsWith(ADAPTERS);
    }

    /** Digits alone are a length; whatever else stands there, the HTTP decoder has refused. */
    private static boolean declaresMoreThan(long bytesMax, @Nullable String contentLength) {
        return contentLength != null && (contentLength.length() > 18 || Long.parseLong(contentLength) > bytesMax);
    }
}
