package io.chorale.api;

import jakarta.ws.rs.HttpMethod;
import jakarta.ws.rs.Path;
import java.lang.annotation.Annotation;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Which methods each path takes, for the header {@code Allow}. Read from the endpoints' annotations when the
 * class is initialised, which for the native executable is while it is built.
 */
final class AllowedMethods {
    /** Whatever has a path. */
    static final List<Class<?>> ENDPOINTS = List.of(
            AdaptersResource.class,
            AliasesResource.class,
            CompletionsResource.class,
            LoadResource.class,
            LoraAdminResource.class,
            ModelsResource.class,
            PlanResource.class,
            ServerResource.class,
            StreamsResource.class,
            TokenizeResource.class);

    private record Endpoint(Pattern path, String method) {}

    private static final Pattern PARAMETER = Pattern.compile("\\{\\w+(?:\\s*:\\s*([^}]+))?}");
    private static final List<Endpoint> ALL =
            ENDPOINTS.stream().flatMap(type -> endpoints(type).stream()).toList();

    private AllowedMethods() {}

    private static List<Endpoint> endpoints(Class<?> type) {
        List<Endpoint> endpoints = new ArrayList<>();
        for (Method method : type.getDeclaredMethods()) {
            for (Annotation annotation : method.getAnnotations()) {
                HttpMethod http = annotation.annotationType().getAnnotation(HttpMethod.class);
                if (http != null) {
                    String path = path(type.getAnnotation(Path.class)) + path(method.getAnnotation(Path.class));
                    endpoints.add(new Endpoint(pattern(path.isEmpty() ? "/" : path), http.value()));
                }
            }
        }
        return endpoints;
    }

    private static String path(@Nullable Path annotation) {
        String path = annotation == null ? "" : annotation.value().replaceAll("^/|/$", "");
        return path.isEmpty() ? "" : "/" + path;
    }

    private static Pattern pattern(String template) {
        return Pattern.compile(PARAMETER
                .matcher(template)
                .replaceAll(parameter -> parameter.group(1) == null ? "[^/]+" : "(?:" + parameter.group(1) + ")"));
    }

    static boolean knows(String path) {
        return ALL.stream().anyMatch(endpoint -> endpoint.path().matcher(path).matches());
    }

    /** As the header has them; GET brings HEAD with it. */
    static String at(String path) {
        TreeSet<String> methods = new TreeSet<>();
        for (Endpoint endpoint : ALL) {
            if (endpoint.path().matcher(path).matches()) {
                methods.add(endpoint.method());
            }
        }
        if (methods.contains("GET")) {
            methods.add("HEAD");
        }
        methods.add("OPTIONS");
        return String.join(", ", methods);
    }
}
