package io.chorale.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** docs/CONFIG.md is made from the settings interfaces and their Javadoc; {@code -Ddocs.update} writes it. */
class ConfigDocTest {
    private static final Path FILE = Path.of("docs/CONFIG.md");
    private static final List<Class<?>> GROUPS = List.of(
            ModelSettings.class,
            AdapterSettings.class,
            SourceSettings.class,
            EngineSettings.class,
            SchedulerSettings.class,
            PolicyOverrides.class,
            AdmissionSettings.class,
            TenantSettings.class,
            KeySettings.class,
            AccessSettings.class,
            ObjectiveSettings.class,
            StreamSettings.class,
            LifecycleSettings.class);

    /** A comment, annotations, a method or a nested interface. */
    private static final Pattern MEMBER = Pattern.compile(
            "/\\*\\*((?:(?!\\*/).)*)\\*/(?:\\s*@\\w+(?:\\([^)]*\\))?)*\\s*(?:[\\w.<>]+ (\\w+)\\(\\);)", Pattern.DOTALL);

    @Test
    void shouldDocumentEverySetting() throws IOException {
        StringBuilder text = new StringBuilder("""
                # Settings

                Made from the interfaces of `io.chorale.config`; do not edit. A key is given as `-Dkey=value` to
                `./chorale serve`, in a file `config/application.properties`, or as an environment variable: letters in
                capitals, everything else an underscore, so that `chorale.model.dir` is `CHORALE_MODEL_DIR`. Times are
                written `500MS`, `30S`, `2M`; sizes `64K`, `16M`, `2G`.

                The address is Quarkus's: `quarkus.http.host`, `quarkus.http.port` (8080).
                """);
        for (Class<?> group : GROUPS) {
            String source =
                    Files.readString(Path.of("src/main/java", group.getName().replace('.', '/') + ".java"));
            text.append("\n## ")
                    .append(prefix(group))
                    .append("\n\n")
                    .append(summary(source))
                    .append("\n\n");
            text.append("| key | default | says |\n|---|---|---|\n");
            rows(group, prefix(group), source, text);
        }
        if (System.getProperty("docs.update") != null) {
            Files.writeString(FILE, text);
            return;
        }
        assertEquals(text.toString(), Files.readString(FILE), "run this test with -Ddocs.update");
    }

    private static void rows(Class<?> type, String prefix, String source, StringBuilder text) {
        for (Method method : inOrder(type, source)) {
            String key = prefix + "." + kebab(method.getName());
            if (method.getReturnType().isInterface() && method.getReturnType().getEnclosingClass() == type) {
                rows(
                        method.getReturnType(),
                        key,
                        source.substring(source.indexOf(
                                "interface " + method.getReturnType().getSimpleName())),
                        text);
                continue;
            }
            if (method.getReturnType() == Map.class) {
                Class<?> each =
                        (Class<?>) ((ParameterizedType) method.getGenericReturnType()).getActualTypeArguments()[1];
                String name = method.getName().replaceFirst("^by", "").toUpperCase(Locale.ROOT);
                rows(
                        each,
                        prefix + "." + name,
                        source.substring(source.indexOf("interface " + each.getSimpleName())),
                        text);
                continue;
            }
            WithDefault value = method.getAnnotation(WithDefault.class);
            boolean optional = method.getReturnType().getName().startsWith("java.util.Optional");
            assertFalse(value == null && !optional, key + " has no default");
            text.append("| `").append(key).append("` | ").append(value == null ? "" : "`" + value.value() + "`");
            text.append(" | ").append(comment(method.getName(), source)).append(" |\n");
        }
    }

    private static List<Method> inOrder(Class<?> type, String source) {
        List<Method> methods = new ArrayList<>(List.of(type.getDeclaredMethods()));
        methods.sort((a, b) ->
                Integer.compare(source.indexOf(" " + a.getName() + "()"), source.indexOf(" " + b.getName() + "()")));
        return methods;
    }

    private static String comment(String method, String source) {
        Matcher member = MEMBER.matcher(source);
        while (member.find()) {
            if (member.group(2).equals(method)) {
                return plain(member.group(1));
            }
        }
        throw new AssertionError(method + " has no comment");
    }

    private static String summary(String source) {
        int begin = source.indexOf("/**") + 3;
        return plain(source.substring(begin, source.indexOf("*/", begin)));
    }

    private static String plain(String comment) {
        return comment.replaceAll("\\s*\\n\\s*\\* ?", " ").replace('|', '/').strip();
    }

    private static String prefix(Class<?> group) {
        return group.getAnnotation(ConfigMapping.class).prefix();
    }

    private static String kebab(String name) {
        return name.replaceAll("([A-Z])", "-$1").toLowerCase(Locale.ROOT);
    }
}
