package io.chorale.adapter;

import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Whether an adapter was trained on the base model that is served, as far as names tell: shapes alone do not, because the
 * models of a family share them. Organisations and folders differ from machine to machine, so the last part counts:
 * {@code meta-llama/Llama-2-7b-hf} is {@code /data/Llama-2-7b-hf}.
 *
 * @param names that the base model goes by, the one to show first
 */
public record BaseCheck(Mode mode, List<String> names) {
    /** What becomes of an adapter that names another base model. */
    public enum Mode {
        /** It is served, and the log and the adapter's resource say so. */
        WARN,
        /** It is refused. */
        ENFORCE,
        /** Nobody looks. */
        OFF
    }

    /** Takes every adapter. */
    static final BaseCheck OFF = new BaseCheck(Mode.OFF, List.of());

    /** Where the hub's own cache keeps a repository. */
    private static final Pattern HUB_CACHE = Pattern.compile("models--(?:.+?--)?([^/]+)/snapshots/[^/]+");

    public BaseCheck {
        names = List.copyOf(names);
    }

    /** @param named by the adapter's configuration; one that names no base model is for any */
    boolean isOther(String named) {
        return mode != Mode.OFF
                && !named.isBlank()
                && names.stream().noneMatch(name -> tail(name).equals(tail(named)));
    }

    /** Whether clients ask for the base model by this name. */
    boolean isServedAs(String name) {
        return !names.isEmpty() && names.getFirst().equals(name);
    }

    /** The part of a name or path by which people know a model; names on the hub do not depend on case. */
    private static String tail(String name) {
        String path = name.strip().replace('\\', '/').replaceAll("/+$", "");
        Matcher cached = HUB_CACHE.matcher(path);
        if (cached.find()) {
            path = cached.group(1);
        } else if (path.endsWith("/" + ModelFiles.GENERIC_NAME)) {
            path = path.substring(0, path.length() - ModelFiles.GENERIC_NAME.length() - 1);
        }
        return path.substring(path.lastIndexOf('/') + 1).toLowerCase(Locale.ROOT);
    }
}
