package io.chorale.api;

import io.chorale.adapter.AdapterAlias;
import io.chorale.adapter.AdapterAliases;
import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.core.model.AdapterSet;
import io.chorale.text.TextModel;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * The models that clients may name: the base model and its adapters. Immutable but for the adapters, which are asked of
 * the registry; any thread.
 */
public final class ModelCatalog {
    /**
     * A model as a client named it.
     *
     * @param asked the name that every chunk of the answer repeats
     * @param answering the adapter and version that answer, as far as it is known; empty for the base model
     */
    public record Served(String asked, AdapterSet adapters, String answering) {}

    /**
     * The base model, as far as clients see it.
     *
     * @param root the folder that it was read from
     * @param createdSeconds since 1970
     * @param endTokens that end an answer
     */
    public record Base(String name, String root, long createdSeconds, int contextMax, int vocab, int[] endTokens) {}

    /** Of a name that a client made up, in messages. */
    private static final int SHOWN_CHARS_MAX = 100;

    private final Base base;
    private final AdapterRegistry adapters;
    private final AdapterAliases aliases;
    private final Optional<TextModel> text;

    /** @param text empty for a checkpoint without tokenizer files */
    public ModelCatalog(Base base, AdapterRegistry adapters, AdapterAliases aliases, Optional<TextModel> text) {
        this.base = base;
        this.adapters = adapters;
        this.aliases = aliases;
        this.text = text;
    }

    /**
     * @param user who asks, for names that stand for several adapters; empty: nobody in particular
     * @throws Problem 404 where there is no such model, 422 where its files are not what they should be
     */
    Served find(String name, String user) {
        if (name.equals(base.name())) {
            return new Served(name, AdapterSet.BASE, "");
        }
        // "base:adapter", as other servers spell it.
        String prefix = base.name() + ":";
        String adapter = name.startsWith(prefix) ? name.substring(prefix.length()) : name;
        AdapterEntry entry = entry(adapter, user).orElseThrow(() -> unknown(name));
        if (!entry.usable()) {
            throw Problem.invalid(
                            422,
                            "adapter_invalid",
                            "model",
                            "The adapter `" + adapter + "` cannot be served: " + String.join("; ", entry.problems()))
                    .listing(entry.problems());
        }
        String answering = entry.label().isEmpty() ? entry.name() : entry.name() + "@" + entry.label();
        return new Served(name, AdapterSet.of(entry.version()), answering);
    }

    private Optional<AdapterEntry> entry(String name, String user) {
        Optional<AdapterEntry> named = adapters.find(name);
        if (named.isPresent()) {
            return named;
        }
        Optional<AdapterAlias> alias = aliases.find(name);
        if (alias.isPresent()) {
            String somebody =
                    user.isEmpty() ? Long.toString(ThreadLocalRandom.current().nextLong()) : user;
            return aliases.resolve(alias.get().of(somebody), adapters);
        }
        return name.indexOf('@') < 0 ? Optional.empty() : aliases.resolve(name, adapters);
    }

    static Problem unknown(String name) {
        String shown = name.length() > SHOWN_CHARS_MAX ? name.substring(0, SHOWN_CHARS_MAX) + "..." : name;
        return Problem.invalid(404, "model_not_found", "model", "The model `" + shown + "` does not exist.");
    }

    Optional<TextModel> text() {
        return text;
    }

    public String baseName() {
        return base.name();
    }

    int contextMax() {
        return base.contextMax();
    }

    int vocab() {
        return base.vocab();
    }

    int[] endTokens() {
        return base.endTokens();
    }

    /** Adapters that can be asked for. */
    int adapterCount() {
        return (int) adapters.list().stream().filter(AdapterEntry::usable).count();
    }

    /** Writes the list of all models: the base first, adapters in the order of their names. */
    void writeAll(JsonBytes out) {
        out.raw("{\"object\":\"list\",\"data\":[");
        writeBase(out);
        List<AdapterEntry> entries = adapters.list();
        for (AdapterEntry entry : entries) {
            if (entry.usable()) {
                out.raw(",");
                writeAdapter(entry, out);
            }
        }
        for (AdapterAlias alias : aliases.list()) {
            out.raw(",");
            write(alias.name(), alias.shares().getFirst().to(), base.name(), out);
        }
        out.raw("]}");
    }

    /** @throws Problem as {@link #find} */
    void writeOne(String name, JsonBytes out) {
        if (name.equals(base.name())) {
            writeBase(out);
        } else {
            find(name, "");
            AdapterEntry entry = entry(name, "").orElseThrow(() -> unknown(name));
            write(name, entry.directory().toString(), base.name(), out);
        }
    }

    private void writeBase(JsonBytes out) {
        write(base.name(), base.root(), null, out);
    }

    private void writeAdapter(AdapterEntry entry, JsonBytes out) {
        write(entry.name(), entry.directory().toString(), base.name(), out);
    }

    private void write(String id, String root, @Nullable String parent, JsonBytes out) {
        out.raw("{\"id\":").string(id).raw(",\"object\":\"model\",\"created\":").number(base.createdSeconds());
        out.raw(",\"owned_by\":\"chorale\",\"root\":").string(root).raw(",\"parent\":");
        if (parent == null) {
            out.raw("null");
        } else {
            out.string(parent);
        }
        out.raw(",\"max_model_len\":").number(base.contextMax()).raw("}");
    }
}
