package io.chorale.api;

import io.chorale.access.AdapterScope;
import io.chorale.adapter.AdapterAlias;
import io.chorale.adapter.AdapterAliases;
import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterForm;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.core.model.AdapterSet;
import io.chorale.text.TextModel;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;
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
     * @param summands the adapters that answer, as the client ordered them; empty for the base model
     * @param invocation of an activated LoRA the tokens from which on it acts; empty where adapters act on every token
     */
    public record Served(String asked, AdapterSet adapters, List<Summand> summands, List<Integer> invocation) {
        /**
         * The first token of a prompt that the adapters act on: for an activated LoRA, where its invocation begins for the
         * last time. -1: the prompt does not invoke it, and the base model answers.
         */
        int activeFrom(int[] prompt) {
            int from = invocation.isEmpty() ? 0 : prompt.length - invocation.size();
            while (from >= 0 && !invokes(prompt, from)) {
                from--;
            }
            return Math.max(-1, from);
        }

        /** The same, or the base model where none of the prompts invokes it: nobody is told otherwise. */
        Served answering(List<CompletionRequest.Prompt> prompts) {
            boolean invoked = prompts.stream().anyMatch(prompt -> activeFrom(prompt.ids()) >= 0);
            return invoked ? this : new Served(asked, AdapterSet.BASE, List.of(), List.of());
        }

        private boolean invokes(int[] prompt, int from) {
            for (int i = 0; i < invocation.size(); i++) {
                if (prompt[from + i] != invocation.get(i)) {
                    return false;
                }
            }
            return true;
        }

        /** The name to report: of a composition its parts too. */
        String reported() {
            return adapters.versions().length > 1 ? asked + " (" + sum(summands) + ")" : asked;
        }
    }

    /** An adapter, as it was when it was asked for, and the factor on its scale. */
    record Summand(AdapterEntry entry, float scale) {
        @Override
        public String toString() {
            String name = entry.label().isEmpty() ? entry.name() : entry.name() + "@" + entry.label();
            return scale == 1 ? name : name + "*" + scale;
        }
    }

    private static String sum(List<Summand> summands) {
        return summands.stream().map(Summand::toString).collect(Collectors.joining("+"));
    }

    /**
     * The adapters and versions that answer, each with its factor unless that is 1; empty for the base model. A version that
     * nobody has read yet is not known; once there is an answer, it is.
     */
    String answering(Served model) {
        return sum(model.summands().stream()
                .map(each ->
                        new Summand(adapters.byVersion(each.entry().version()).orElse(each.entry()), each.scale()))
                .toList());
    }

    /**
     * One adapter of a composition as a client named it.
     *
     * @param field of the request that names it, for messages
     * @param scale factor on the adapter's own scale
     */
    record Part(String field, String name, float scale) {}

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
     * A model with further adapters added to it, each with a factor; a factor of 0 adds nothing.
     *
     * @param user who asks, for names that stand for several adapters; empty: nobody in particular
     * @param scope what whoever asks may use
     * @throws Problem 404 where a name is unknown, 422 where an adapter cannot be served, 400 where one is named twice
     */
    Served find(Part model, List<Part> parts, String user, AdapterScope scope) {
        List<Part> all = new ArrayList<>();
        if (!model.name().equals(base.name())) {
            all.add(model);
        }
        all.addAll(parts);
        long adding = all.stream().filter(part -> part.scale() != 0).count();
        // In the order of versions, which is the order that their deltas are summed in, whatever the request's is.
        Map<Integer, Float> scales = new TreeMap<>();
        List<Summand> summands = new ArrayList<>();
        List<Integer> invocation = List.of();
        for (Part part : all) {
            AdapterEntry entry = usable(part, user, scope);
            if (scales.put(entry.version(), part.scale()) != null) {
                throw Problem.badValue(
                        part.field(), "The adapter `" + part.name() + "` is named twice; add the factors up instead.");
            }
            if (!entry.facts().invocation().isEmpty()) {
                if (all.size() > 1) {
                    throw Problem.badValue(
                            part.field(),
                            "The adapter `" + part.name()
                                    + "` is an activated LoRA, which cannot be combined with others.");
                }
                invocation = entry.facts().invocation();
            }
            if (part.scale() != 1 || adding > 1) {
                refuseLoner(part, entry);
            }
            if (part.scale() != 0) {
                summands.add(new Summand(entry, part.scale()));
            }
        }
        scales.values().removeIf(scale -> scale == 0);
        int[] versions = scales.keySet().stream().mapToInt(Integer::intValue).toArray();
        float[] factors = new float[versions.length];
        for (int i = 0; i < versions.length; i++) {
            factors[i] = scales.getOrDefault(versions[i], 1f);
        }
        return new Served(model.name(), new AdapterSet(versions, factors), summands, invocation);
    }

    /** What does more than add cannot be scaled, nor added to. */
    private static void refuseLoner(Part part, AdapterEntry entry) {
        Optional<AdapterForm> form = entry.facts().standsAlone();
        if (form.isPresent() && part.scale() != 0) {
            throw Problem.badValue(
                    part.field(),
                    "The adapter `" + part.name() + "` (" + form.get().label()
                            + ") does more than add to the base model: it can be used alone and with the factor 1 only.");
        }
    }

    private AdapterEntry usable(Part part, String user, AdapterScope scope) {
        if (part.name().equals(base.name())) {
            throw Problem.badValue(part.field(), "`" + part.name() + "` is the base model, not an adapter.");
        }
        AdapterEntry entry = entry(part.name(), user, scope).orElseThrow(() -> unknown(part.field(), part.name()));
        if (!entry.usable()) {
            throw Problem.invalid(
                            422,
                            "adapter_invalid",
                            part.field(),
                            "The adapter `" + part.name() + "` cannot be served: "
                                    + String.join("; ", entry.problems()))
                    .listing(entry.problems());
        }
        return entry;
    }

    private Optional<AdapterEntry> entry(String asked, String user, AdapterScope scope) {
        // "base:adapter", as other servers spell it.
        String prefix = base.name() + ":";
        String name = asked.startsWith(prefix) ? asked.substring(prefix.length()) : asked;
        Optional<AdapterEntry> named = adapters.find(name);
        if (named.isPresent()) {
            return named.filter(entry -> scope.allows(entry.name()));
        }
        // Who may use an alias may use whatever it stands for.
        Optional<AdapterAlias> alias = aliases.find(name).filter(other -> scope.allows(other.name()));
        if (alias.isPresent()) {
            String somebody =
                    user.isEmpty() ? Long.toString(ThreadLocalRandom.current().nextLong()) : user;
            return aliases.resolve(alias.get().of(somebody), adapters);
        }
        return name.indexOf('@') < 0
                ? Optional.empty()
                : aliases.resolve(name, adapters).filter(entry -> scope.allows(entry.name()));
    }

    private static Problem unknown(String field, String name) {
        String shown = name.length() > SHOWN_CHARS_MAX ? name.substring(0, SHOWN_CHARS_MAX) + "..." : name;
        return field.endsWith("model")
                ? Problem.invalid(404, "model_not_found", field, "The model `" + shown + "` does not exist.")
                : Problem.invalid(404, "adapter_not_found", field, "The adapter `" + shown + "` does not exist.");
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

    /** Writes the list of all models of a scope: the base first, adapters in the order of their names. */
    void writeAll(AdapterScope scope, JsonBytes out) {
        out.raw("{\"object\":\"list\",\"data\":[");
        writeBase(out);
        List<AdapterEntry> entries = adapters.list();
        for (AdapterEntry entry : entries) {
            if (entry.usable() && scope.allows(entry.name())) {
                out.raw(",");
                writeAdapter(entry, out);
            }
        }
        for (AdapterAlias alias : aliases.list()) {
            if (scope.allows(alias.name())) {
                out.raw(",");
                write(alias.name(), alias.shares().getFirst().to(), base.name(), out);
            }
        }
        out.raw("]}");
    }

    /** @throws Problem as {@link #find} */
    void writeOne(String name, AdapterScope scope, JsonBytes out) {
        if (name.equals(base.name())) {
            writeBase(out);
        } else {
            AdapterEntry entry = usable(new Part("model", name, 1), "", scope);
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
