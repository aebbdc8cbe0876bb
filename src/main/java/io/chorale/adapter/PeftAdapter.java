package io.chorale.adapter;

import io.chorale.engine.AdapterWeights;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A LoRA adapter's folder as PEFT saves it, parsed and verified against the base model: every tensor has its place, every
 * A its B, every shape and rank agrees with the configuration and the base. An adapter that is only partly understood is
 * refused with the list of all that is wrong: applied in part it would answer wrongly without a word.
 */
public final class PeftAdapter {
    static final String CONFIG = "adapter_config.json";
    static final String WEIGHTS = "adapter_model.safetensors";
    private static final String PICKLED = "adapter_model.bin";
    private static final long CONFIG_BYTES_MAX = 16L << 20;
    private static final int PROBLEMS_MAX = 1_000;

    /** Wrapper prefixes, the path of a linear inside the model, which matrix, and perhaps the adapter's name. */
    private static final Pattern KEY = Pattern.compile("(?:base_model\\.model\\.|base_model\\.)?(?:model\\.)?layers\\."
            + "(?<layer>\\d{1,6})\\.(?<module>[a-z_]+\\.[a-z_]+)\\.lora_(?<matrix>[AB])(?:\\.[^.]+)?\\.weight");

    private final Path directory;
    private final SafetensorsFile file;
    private final List<TensorSpan> spans;
    private final AdapterFacts facts;

    private PeftAdapter(Path directory, SafetensorsFile file, List<TensorSpan> spans, AdapterFacts facts) {
        this.directory = directory;
        this.file = file;
        this.spans = spans;
        this.facts = facts;
    }

    public static PeftAdapter open(Path directory, ModelShape base) throws FileRejectedException {
        Path configFile = directory.resolve(CONFIG);
        Path weights = directory.resolve(WEIGHTS);
        if (!Files.exists(weights) && Files.exists(directory.resolve(PICKLED))) {
            throw new FileRejectedException(directory.resolve(PICKLED)
                    + ": pickled weights can run code when read; save the adapter as " + WEIGHTS);
        }
        PeftConfig config = new PeftConfig(JsonText.readObject(configFile, CONFIG_BYTES_MAX));
        SafetensorsFile file = SafetensorsFile.open(weights);
        return new Verification(directory, base, config, file).verify();
    }

    public AdapterFacts facts() {
        return facts;
    }

    /**
     * Hexadecimal SHA-256 of what can be known of the files without reading the tensors: the configuration, the tensors'
     * header, and key, size and time of their file.
     */
    public String fingerprint() throws FileRejectedException {
        try {
            MessageDigest digest = ContentCheck.sha256();
            digest.update(Files.readAllBytes(directory.resolve(CONFIG)));
            digest.update(file.header());
            BasicFileAttributes attributes = Files.readAttributes(file.path(), BasicFileAttributes.class);
            // The file's key is its place on the disk: a link to it is the same file, a copy is not.
            String place = attributes.fileKey() + " " + attributes.size() + " " + attributes.lastModifiedTime();
            digest.update(place.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest.digest());
        } catch (IOException unreadable) {
            throw new FileRejectedException(directory + ": cannot be read: " + JsonText.reason(unreadable));
        }
    }

    /**
     * Reads every byte, once: the last of the doctor's checks, and the adapter's identity.
     *
     * @return hexadecimal SHA-256 of configuration and tensors
     * @throws FileRejectedException where a number is not finite, or the adapter would change nothing
     */
    public String checkContent() throws FileRejectedException {
        return ContentCheck.digest(directory.resolve(CONFIG), file, spans);
    }

    public AdapterWeights weights(String name) {
        return new AdapterWeights(name, facts.weightBytes(), ManifestWriter.adapter(files(), spans));
    }

    List<SpanFile> files() {
        return List.of(new SpanFile(file.path().toAbsolutePath().toString(), file.fileBytes()));
    }

    List<TensorSpan> spans() {
        return spans;
    }

    @Override
    public String toString() {
        return "adapter at " + directory;
    }

    /** Collects all that is wrong instead of stopping at the first. */
    private static final class Verification {
        private final Path directory;
        private final ModelShape base;
        private final PeftConfig config;
        private final SafetensorsFile file;
        private final List<String> problems = new ArrayList<>();
        private final List<TensorSpan> spans = new ArrayList<>();
        private final Set<Target> targets = EnumSet.noneOf(Target.class);
        private int rankMax;

        Verification(Path directory, ModelShape base, PeftConfig config, SafetensorsFile file) {
            this.directory = directory;
            this.base = base;
            this.config = config;
            this.file = file;
        }

        PeftAdapter verify() throws FileRejectedException {
            problems.addAll(config.problems());
            List<Integer> invocation = invocation();
            Map<String, SafetensorsFile.Tensor> found = place();
            for (int layer = 0; layer < base.layers(); layer++) {
                for (Target target : Target.values()) {
                    verify(layer, target, found);
                }
            }
            for (String module : List.of("lm_head", "model.embed_tokens")) {
                if (config.targets(module)) {
                    problems.add(directory + ": LoRA on " + module + " is not served");
                }
            }
            if (spans.isEmpty() && problems.isEmpty()) {
                problems.add(directory + ": the adapter changes nothing in this base model: no linear of its "
                        + base.layers() + " layers is targeted");
            }
            if (!problems.isEmpty()) {
                List<String> shown = new ArrayList<>(problems.subList(0, Math.min(problems.size(), PROBLEMS_MAX)));
                if (problems.size() > PROBLEMS_MAX) {
                    shown.add("and " + (problems.size() - PROBLEMS_MAX) + " more");
                }
                throw new FileRejectedException(shown);
            }
            long weightBytes = spans.stream().mapToLong(TensorSpan::bytes).sum();
            AdapterFacts facts = new AdapterFacts(
                    rankMax,
                    targets.stream().map(Target::shortName).toList(),
                    weightBytes,
                    config.baseModel(),
                    invocation);
            return new PeftAdapter(directory, file, List.copyOf(spans), facts);
        }

        private List<Integer> invocation() {
            try {
                return config.invocation(base.vocab());
            } catch (FileRejectedException wrong) {
                problems.addAll(wrong.problems());
                return List.of();
            }
        }

        /** Gives each tensor its place, keyed by {@link #place(int, Target, String)}; tensors without one are named. */
        private Map<String, SafetensorsFile.Tensor> place() {
            Map<String, SafetensorsFile.Tensor> found = new TreeMap<>();
            for (SafetensorsFile.Tensor tensor : file.tensors().values()) {
                Matcher key = KEY.matcher(tensor.name());
                if (!key.matches()) {
                    problem(tensor.name(), "is not LoRA's A or B of a linear that is served");
                    continue;
                }
                int layer = Integer.parseInt(key.group("layer"));
                Target target = Target.ofModule(key.group("module")).orElse(null);
                if (target == null) {
                    problem(
                            tensor.name(),
                            "belongs to " + key.group("module") + ", which the base model does not have");
                } else if (layer >= base.layers()) {
                    problem(
                            tensor.name(),
                            "belongs to layer " + layer + "; the base model has " + base.layers()
                                    + ": this adapter is for another base");
                } else {
                    SafetensorsFile.Tensor before = found.put(place(layer, target, key.group("matrix")), tensor);
                    if (before != null) {
                        problem(tensor.name(), "has the same place as '" + before.name() + "'");
                    }
                }
            }
            return found;
        }

        private static String place(int layer, Target target, String matrix) {
            return matrix + " of " + module(layer, target);
        }

        private static String module(int layer, Target target) {
            return "model.layers." + layer + "." + target.module;
        }

        private void verify(int layer, Target target, Map<String, SafetensorsFile.Tensor> found)
                throws FileRejectedException {
            String module = module(layer, target);
            SafetensorsFile.Tensor a = found.get(place(layer, target, "A"));
            SafetensorsFile.Tensor b = found.get(place(layer, target, "B"));
            boolean wanted = config.targets(module);
            if (a == null && b == null) {
                if (wanted) {
                    problems.add(directory + ": target_modules covers " + module + ", but it has neither A nor B");
                }
                return;
            }
            if (a == null || b == null) {
                problems.add(directory + ": " + module + " has no " + (a == null ? "A" : "B"));
                return;
            }
            if (!wanted) {
                problem(a.name(), "is there, but the configuration does not put LoRA on " + module);
                return;
            }
            int rank = config.rankOf(module);
            boolean fitsA = fits(a, List.of(rank, target.in(base)), 1, "input");
            boolean fitsB = fits(b, List.of(target.out(base), rank), 0, "output");
            if (fitsA && fitsB) {
                spans.add(span(TensorSpan.LORA_A + target.code, layer, a, 1));
                spans.add(span(TensorSpan.LORA_B + target.code, layer, b, config.scaleOf(module)));
                targets.add(target);
                rankMax = Math.max(rankMax, rank);
            }
        }

        /** @param baseAxis which of the two sizes is the base model's; the other is the rank */
        private boolean fits(SafetensorsFile.Tensor tensor, List<Integer> wanted, int baseAxis, String end) {
            int before = problems.size();
            if (!tensor.type().servable()) {
                problem(tensor.name(), "has dtype " + tensor.type() + "; F32, F16 and BF16 are served");
            }
            List<Long> shape = tensor.shape();
            if (shape.size() != 2) {
                problem(tensor.name(), "has shape " + shape + ", but a matrix of shape " + wanted + " is needed");
            } else {
                if (shape.get(baseAxis) != wanted.get(baseAxis).longValue()) {
                    problem(
                            tensor.name(),
                            "has shape " + shape + ", but this linear of the base model has " + wanted.get(baseAxis)
                                    + " " + end + " features: this adapter is for another base");
                }
                int rank = wanted.get(1 - baseAxis);
                if (shape.get(1 - baseAxis) != rank) {
                    problem(
                            tensor.name(),
                            "has rank " + shape.get(1 - baseAxis) + ", but the configuration says " + rank);
                }
            }
            return problems.size() == before;
        }

        private static TensorSpan span(int role, int layer, SafetensorsFile.Tensor tensor, float scale) {
            return new TensorSpan(
                    role,
                    layer,
                    tensor.type(),
                    0,
                    tensor.offset(),
                    tensor.bytes(),
                    tensor.shape().getFirst(),
                    tensor.shape().getLast(),
                    scale,
                    0);
        }

        private void problem(String tensor, String sentence) {
            problems.add(file.path() + ": tensor '" + tensor + "' " + sentence);
        }
    }
}
