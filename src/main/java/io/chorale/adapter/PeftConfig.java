package io.chorale.adapter;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/**
 * The settings of {@code adapter_config.json} that decide what a LoRA adapter computes, with PEFT's own rules for which
 * module a setting belongs to. Whatever would change the answer and is not served is a problem with a name; training
 * settings are ignored.
 */
final class PeftConfig {
    static final int RANK_MAX = 4096;
    private static final int INVOCATION_TOKENS_MAX = 1_024;
    private static final int BASE_CHARS_MAX = 4_096;

    /** Far beyond what is trained with, and far from where numbers end: a larger one makes nonsense, a smaller one nothing. */
    private static final float SCALE_MAX = 1e4f;

    private static final float SCALE_MIN = 1e-6f;
    private static final int PATTERNS_MAX = 10_000;
    private static final int PATTERN_CHARS_MAX = 512;
    private static final int MATCH_STEPS_MAX = 100_000;

    /** Settings that add weights or computation beyond A and B, and what to say of them when they are set. */
    private static final Map<String, String> UNSERVED = unserved();

    private final JsonObject config;
    private final String baseModel;
    private final int rank;
    private final double alpha;
    private final boolean rankStabilised;
    private final Map<Pattern, Double> ranks;
    private final Map<Pattern, Double> alphas;
    private final List<String> targetNames;
    private final @Nullable Pattern targetPattern;
    private final List<String> excludedNames;
    private final @Nullable Pattern excludedPattern;
    private final List<Integer> layers;
    private final List<Pattern> layerPatterns;

    PeftConfig(JsonObject config) throws FileRejectedException {
        this.config = config;
        baseModel = baseModel(config);
        rank = config.integer("r", 1, RANK_MAX, 8);
        alpha = config.number("lora_alpha", 8);
        rankStabilised = config.flag("use_rslora", false);
        ranks = patterns(config.object("rank_pattern"));
        alphas = patterns(config.object("alpha_pattern"));
        boolean isPattern = config.fields().get("target_modules") instanceof String;
        targetNames = isPattern ? List.of() : config.texts("target_modules");
        targetPattern = isPattern ? targetPattern(config.text("target_modules", "")) : null;
        boolean excludesPattern = config.fields().get("exclude_modules") instanceof String;
        excludedNames = excludesPattern ? List.of() : config.texts("exclude_modules");
        excludedPattern = excludesPattern ? compiled("exclude_modules", config.text("exclude_modules", "")) : null;
        layers = config.integers("layers_to_transform", 0, Integer.MAX_VALUE);
        List<Pattern> compiledLayers = new ArrayList<>();
        for (String name : config.texts("layers_pattern")) {
            compiledLayers.add(compiled("layers_pattern", "(?:^|.*?\\.)(?:" + name + ")\\.(?<index>\\d+)\\."));
        }
        if (compiledLayers.isEmpty()) {
            compiledLayers.add(Pattern.compile(".*?\\.[^.]*\\.(?<index>\\d+)\\."));
        }
        layerPatterns = List.copyOf(compiledLayers);
    }

    /** The base model that the adapter was trained for, as the configuration names it; empty where it does not. */
    String baseModel() {
        return baseModel;
    }

    private static String baseModel(JsonObject config) throws FileRejectedException {
        String name = config.text("base_model_name_or_path", "");
        if (name.length() > BASE_CHARS_MAX) {
            throw config.wrong("base_model_name_or_path", "has more than " + BASE_CHARS_MAX + " characters");
        }
        return name;
    }

    /** What is to be said of the base model that the configuration names; empty where it is the one that is served. */
    List<String> baseProblems(BaseCheck check) {
        return check.isOther(baseModel())
                ? List.of(problem(
                        "base_model_name_or_path",
                        "is " + JsonObject.shown(baseModel()) + ", but the base model served is "
                                + JsonObject.shown(check.names().getFirst())))
                : List.of();
    }

    /**
     * Of an activated LoRA the tokens from which on it acts; empty where it acts on every token.
     *
     * @param vocab of the base model
     */
    List<Integer> invocation(int vocab) throws FileRejectedException {
        List<Integer> tokens = config.integers("alora_invocation_tokens", 0, vocab - 1);
        if (config.has("alora_invocation_tokens") && tokens.isEmpty()) {
            throw config.wrong("alora_invocation_tokens", "is empty: nothing would ever invoke the adapter");
        }
        if (tokens.size() > INVOCATION_TOKENS_MAX) {
            throw config.wrong(
                    "alora_invocation_tokens",
                    "has " + tokens.size() + " tokens; at most " + INVOCATION_TOKENS_MAX + " are served");
        }
        return tokens;
    }

    /** Everything in the configuration that is not served. */
    List<String> problems() throws FileRejectedException {
        List<String> problems = new ArrayList<>();
        String type = config.text("peft_type", "LORA");
        if (!type.equals("LORA")) {
            problems.add(problem("peft_type", "is " + JsonObject.shown(type) + "; only LORA is served"));
        }
        String bias = config.text("bias", "none");
        if (!bias.equals("none")) {
            problems.add(problem("bias", "is " + JsonObject.shown(bias) + ": trained biases are not served"));
        }
        UNSERVED.forEach((name, sentence) -> {
            if (isSet(config.fields().get(name))) {
                problems.add(problem(name, sentence));
            }
        });
        if (config.fields().get("init_lora_weights") instanceof String init && changesBase(init)) {
            problems.add(problem(
                    "init_lora_weights",
                    "is " + JsonObject.shown(init) + ": the adapter was trained on a changed base model; convert it to"
                            + " plain LoRA when saving it"));
        }
        for (String module : config.texts("modules_to_save")) {
            if (!module.equals("lm_head")) {
                problems.add(problem(
                        "modules_to_save", "names " + JsonObject.shown(module) + "; only lm_head can be replaced"));
            }
        }
        if (targetNames.isEmpty() && targetPattern == null) {
            problems.add(problem("target_modules", "is missing"));
        }
        return problems;
    }

    /** Whether weights are split into magnitude and direction (DoRA, arXiv 2402.09353). */
    boolean usesDora() throws FileRejectedException {
        return config.flag("use_dora", false);
    }

    /** Whether the adapter brings an LM head of its own. */
    boolean replacesHead() throws FileRejectedException {
        return config.texts("modules_to_save").contains("lm_head");
    }

    /** Whether the configuration puts LoRA on a module, such as {@code model.layers.3.mlp.up_proj}. */
    boolean targets(String module) throws FileRejectedException {
        if ((excludedPattern != null && matches(excludedPattern, module)) || isNamed(excludedNames, module)) {
            return false;
        }
        if (targetPattern != null) {
            return matches(targetPattern, module);
        }
        if (targetNames.contains(module)) {
            return true;
        }
        return isNamed(targetNames, module) && (layers.isEmpty() || layers.contains(layerOf(module)));
    }

    int rankOf(String module) throws FileRejectedException {
        double value = firstMatch(ranks, module, rank);
        if (value != Math.rint(value) || value < 1 || value > RANK_MAX) {
            throw config.wrong(
                    "rank_pattern",
                    "gives " + module + " the rank " + JsonObject.shown(value) + "; 1 to " + RANK_MAX
                            + " are possible");
        }
        return (int) value;
    }

    /** The factor on B times A: alpha by rank, or by the rank's square root (rsLoRA, arXiv 2312.03732). */
    float scaleOf(String module) throws FileRejectedException {
        double moduleRank = rankOf(module);
        float scale =
                (float) (firstMatch(alphas, module, alpha) / (rankStabilised ? Math.sqrt(moduleRank) : moduleRank));
        if (!Float.isFinite(scale)) {
            throw config.wrong("lora_alpha", "gives " + module + " a scale that is not finite");
        }
        if (scale != 0 && (Math.abs(scale) > SCALE_MAX || Math.abs(scale) < SCALE_MIN)) {
            throw config.wrong(
                    "lora_alpha",
                    "gives " + module + " the scale " + scale + "; in size " + SCALE_MIN + " to " + SCALE_MAX
                            + " are served");
        }
        return scale;
    }

    private static boolean isNamed(List<String> names, String module) {
        return names.stream().anyMatch(name -> module.equals(name) || module.endsWith("." + name));
    }

    private int layerOf(String module) throws FileRejectedException {
        for (Pattern pattern : layerPatterns) {
            Optional<Matcher> found = bounded(pattern, module, Matcher::lookingAt);
            if (found.isPresent()) {
                return Integer.parseInt(found.get().group("index"));
            }
        }
        return -1;
    }

    private double firstMatch(Map<Pattern, Double> patterns, String module, double otherwise)
            throws FileRejectedException {
        for (Map.Entry<Pattern, Double> entry : patterns.entrySet()) {
            if (matches(entry.getKey(), module)) {
                return entry.getValue();
            }
        }
        return otherwise;
    }

    /** A pattern belongs to every module whose path, or whose path's end after a dot, it matches; the first one wins. */
    private Map<Pattern, Double> patterns(JsonObject settings) throws FileRejectedException {
        if (settings.fields().size() > PATTERNS_MAX) {
            throw new FileRejectedException(
                    config.file() + ": '" + settings.path() + "' has more than " + PATTERNS_MAX + " entries");
        }
        Map<Pattern, Double> patterns = new LinkedHashMap<>();
        for (String key : settings.fields().keySet()) {
            patterns.put(compiled(settings.path() + key, "(?:.*\\.)?(?:" + key + ")"), settings.number(key));
        }
        return patterns;
    }

    private Pattern targetPattern(String text) throws FileRejectedException {
        // PEFT's shorthand: every linear but the head.
        return text.equalsIgnoreCase("all-linear")
                ? Pattern.compile("model\\.layers\\..*_proj")
                : compiled("target_modules", text);
    }

    private Pattern compiled(String name, String regex) throws FileRejectedException {
        if (regex.length() > PATTERN_CHARS_MAX) {
            throw config.wrong(name, "is a pattern of more than " + PATTERN_CHARS_MAX + " characters");
        }
        try {
            return Pattern.compile(regex);
        } catch (PatternSyntaxException invalid) {
            throw config.wrong(name, "is not a valid pattern: " + invalid.getDescription());
        }
    }

    private boolean matches(Pattern pattern, String module) throws FileRejectedException {
        return bounded(pattern, module, Matcher::matches).isPresent();
    }

    /** Matches with a bound on the steps it may take: patterns come from files, and some never end. */
    private Optional<Matcher> bounded(Pattern pattern, String module, Predicate<Matcher> match)
            throws FileRejectedException {
        try {
            Matcher matcher = pattern.matcher(new CountedText(module, new int[] {MATCH_STEPS_MAX}));
            return match.test(matcher) ? Optional.of(matcher) : Optional.empty();
        } catch (TooManySteps | StackOverflowError endless) {
            throw new FileRejectedException(config.file() + ": the pattern " + JsonObject.shown(pattern.pattern())
                    + " takes too long to match");
        }
    }

    private String problem(String name, String sentence) {
        return config.wrong(name, sentence).problems().getFirst();
    }

    private static boolean isSet(@Nullable Object value) {
        return switch (value) {
            case null -> false;
            case Boolean flag -> flag;
            case List<?> list -> !list.isEmpty();
            case Map<?, ?> map -> !map.isEmpty();
            default -> true;
        };
    }

    private static boolean changesBase(String init) {
        String name = init.toLowerCase(Locale.ROOT);
        return name.startsWith("pissa")
                || name.startsWith("corda")
                || List.of("olora", "loftq", "lora_ga", "mica").contains(name);
    }

    private static Map<String, String> unserved() {
        Map<String, String> sentences = new LinkedHashMap<>();
        sentences.put("ensure_weight_tying", "is set: an embedding and a head that are one are not served");
        sentences.put("lora_bias", "is set: biases of LoRA's B are not served");
        sentences.put("fan_in_fan_out", "is set: transposed weights are not served");
        sentences.put("trainable_token_indices", "is set: trained token embeddings are not served");
        sentences.put("target_parameters", "is set: LoRA on bare parameters is not served");
        sentences.put("layer_replication", "is set: replicated layers are not served");
        sentences.put("use_qalora", "is set: QALoRA is not served");
        sentences.put("use_bdlora", "is set: block-diagonal LoRA is not served");
        sentences.put("arrow_config", "is set: Arrow routing is not served");
        sentences.put("kasa_config", "is set: KaSA is not served");
        sentences.put("monteclora_config", "is set: MonteCLoRA is not served");
        return sentences;
    }

    /** Thrown out of a match that backtracks without end: patterns come from files. */
    private static final class TooManySteps extends RuntimeException {
        TooManySteps() {
            super("", null, false, false);
        }
    }

    /** A text that counts how often it is looked at. */
    private record CountedText(String text, int[] stepsLeft) implements CharSequence {
        @Override
        public int length() {
            return text.length();
        }

        @Override
        public char charAt(int index) {
            if (stepsLeft[0]-- == 0) {
                throw new TooManySteps();
            }
            return text.charAt(index);
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return new CountedText(text.substring(start, end), stepsLeft);
        }

        @Override
        public String toString() {
            return text;
        }
    }
}
