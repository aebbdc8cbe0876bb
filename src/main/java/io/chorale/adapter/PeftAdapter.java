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
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A LoRA adapter's folder as PEFT saves it, parsed and verified against the base model: every tensor has its place, every
 * A its B, every shape and rank agrees with the configuration and the base. An adapter that is only partly understood is
 * refused with the list of all that is wrong: applied in part it would answer wrongly without a word.
 */
public final class PeftAdapter {
    static final String CONFIG = "adapter_config.json";
    static final String WEIGHTS = "adapter_model.safetensors";
    private static final String PICKLED = "adapter_model.bin";

    /** A hundred times what the largest models need: read, a text takes ten times its size of the heap, and many are. */
    private static final int CONFIG_BYTES_MAX = 1 << 20;

    private static final int HEADER_BYTES_MAX = 8 << 20;
    private static final int PROBLEMS_MAX = 1_000;

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
        return open(directory, base, HeadLimit.UNLIMITED, BaseCheck.OFF);
    }

    /** @param heads how large one of its own may be */
    static PeftAdapter open(Path directory, ModelShape base, HeadLimit heads, BaseCheck check)
            throws FileRejectedException {
        Path configFile = directory.resolve(CONFIG);
        Path weights = directory.resolve(WEIGHTS);
        if (!Files.exists(weights) && Files.exists(directory.resolve(PICKLED))) {
            throw new FileRejectedException(directory.resolve(PICKLED)
                    + ": pickled weights can run code when read; save the adapter as " + WEIGHTS);
        }
        PeftConfig config = new PeftConfig(JsonText.readObject(configFile, CONFIG_BYTES_MAX));
        SafetensorsFile file = SafetensorsFile.open(weights, HEADER_BYTES_MAX);
        return new Verification(directory, base, heads, check, config, file).verify();
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
        return new AdapterWeights(
                name, facts.weightBytes(), facts.forms().isEmpty(), ManifestWriter.adapter(files(), spans));
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
        private final HeadLimit heads;
        private final BaseCheck check;
        private final PeftConfig config;
        private final SafetensorsFile file;
        private final List<String> problems = new ArrayList<>();
        private final List<TensorSpan> spans = new ArrayList<>();
        private final Set<String> targets = new LinkedHashSet<>();
        private final Set<AdapterForm> forms = EnumSet.noneOf(AdapterForm.class);
        private int rankMax;

        Verification(
                Path directory,
                ModelShape base,
                HeadLimit heads,
                BaseCheck check,
                PeftConfig config,
                SafetensorsFile file) {
            this.directory = directory;
            this.base = base;
            this.heads = heads;
            this.check = check;
            this.config = config;
            this.file = file;
        }

        PeftAdapter verify() throws FileRejectedException {
            problems.addAll(config.problems());
            List<String> warnings = config.baseProblems(check);
            if (check.mode() == BaseCheck.Mode.ENFORCE) {
                problems.addAll(warnings);
            }
            List<Integer> invocation = invocation();
            Map<PeftKey, SafetensorsFile.Tensor> found = place();
            for (int layer = 0; layer < base.layers(); layer++) {
                for (Target target : Target.values()) {
                    verifyLinear(layer, target, found);
                }
            }
            verifyPair(PeftKey.HEAD, AdapterForm.LM_HEAD, base.hidden(), base.vocab(), TensorSpan.HEAD_A, found);
            verifyPair(PeftKey.EMBED, AdapterForm.EMBED_TOKENS, base.vocab(), base.hidden(), TensorSpan.EMBED_A, found);
            verifyOwnHead(found.get(new PeftKey(PeftKey.HEAD, PeftKey.Part.WHOLE)));
            if (spans.isEmpty() && problems.isEmpty()) {
                problems.add(directory + ": the adapter changes nothing in this base model: no linear of its "
                        + base.layers() + " layers is targeted");
            }
            if (!problems.isEmpty()) {
                throw new FileRejectedException(FileRejectedException.first(PROBLEMS_MAX, problems));
            }
            long weightBytes = spans.stream().mapToLong(TensorSpan::bytes).sum();
            AdapterFacts facts = new AdapterFacts(
                    rankMax,
                    List.copyOf(targets),
                    weightBytes,
                    config.baseModel(),
                    invocation,
                    List.copyOf(forms),
                    warnings);
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

        /** Gives each tensor its place; tensors without one are named. */
        private Map<PeftKey, SafetensorsFile.Tensor> place() {
            Map<PeftKey, SafetensorsFile.Tensor> found = new LinkedHashMap<>();
            for (SafetensorsFile.Tensor tensor : file.tensors().values()) {
                try {
                    PeftKey key = PeftKey.of(tensor.name(), base);
                    SafetensorsFile.Tensor before = found.put(key, tensor);
                    if (before != null) {
                        problem(tensor.name(), "has the same place as '" + before.name() + "'");
                    }
                } catch (PeftKey.WithoutPlaceException why) {
                    problem(tensor.name(), String.valueOf(why.getMessage()));
                }
            }
            return found;
        }

        private void verifyLinear(int layer, Target target, Map<PeftKey, SafetensorsFile.Tensor> found)
                throws FileRejectedException {
            String module = PeftKey.module(layer, target);
            SafetensorsFile.Tensor a = found.get(new PeftKey(module, PeftKey.Part.A));
            SafetensorsFile.Tensor b = found.get(new PeftKey(module, PeftKey.Part.B));
            SafetensorsFile.Tensor magnitude = found.get(new PeftKey(module, PeftKey.Part.MAGNITUDE));
            if (isPair(module, a, b) && a != null && b != null) {
                int rank = config.rankOf(module);
                boolean fitsA = fits(a, List.of(rank, target.in(base)), 1, "input");
                boolean fitsB = fits(b, List.of(target.out(base), rank), 0, "output");
                if (fitsA && fitsB) {
                    spans.add(span(TensorSpan.LORA_A + target.code, layer, a, 1));
                    spans.add(span(TensorSpan.LORA_B + target.code, layer, b, config.scaleOf(module)));
                    targets.add(target.shortName());
                    rankMax = Math.max(rankMax, rank);
                }
            }
            verifyMagnitude(module, layer, target, a != null || b != null, magnitude);
        }

        /** Whether a module has both or, as it should be, neither. */
        private boolean isPair(String module, SafetensorsFile.@Nullable Tensor a, SafetensorsFile.@Nullable Tensor b)
                throws FileRejectedException {
            boolean wanted = config.targets(module);
            if (a == null && b == null) {
                if (wanted) {
                    problems.add(directory + ": target_modules covers " + module + ", but it has neither A nor B");
                }
                return false;
            }
            if (a == null || b == null) {
                problems.add(directory + ": " + module + " has no " + (a == null ? "A" : "B"));
                return false;
            }
            if (!wanted) {
                problem(a.name(), "is there, but the configuration does not put LoRA on " + module);
            }
            return wanted;
        }

        private void verifyMagnitude(
                String module, int layer, Target target, boolean isAdapted, SafetensorsFile.@Nullable Tensor magnitude)
                throws FileRejectedException {
            if (magnitude == null) {
                if (config.usesDora() && isAdapted) {
                    problems.add(directory + ": use_dora is set, but " + module + " has no magnitudes");
                }
                return;
            }
            if (!config.usesDora() || !isAdapted) {
                problem(
                        magnitude.name(),
                        config.usesDora()
                                ? "is there, but " + module + " has no A and B"
                                : "is there, but use_dora is not set");
            } else if (isServable(magnitude) && isVector(magnitude, target.out(base))) {
                spans.add(vector(TensorSpan.MAGNITUDE + target.code, layer, magnitude));
                forms.add(AdapterForm.DORA);
            }
        }

        /** LoRA of the head or of the embedding. */
        private void verifyPair(
                String module, AdapterForm form, int in, int out, int roleA, Map<PeftKey, SafetensorsFile.Tensor> found)
                throws FileRejectedException {
            SafetensorsFile.Tensor a = found.get(new PeftKey(module, PeftKey.Part.A));
            SafetensorsFile.Tensor b = found.get(new PeftKey(module, PeftKey.Part.B));
            if (!isPair(module, a, b) || a == null || b == null) {
                return;
            }
            if (config.usesDora()) {
                problems.add(directory + ": DoRA on " + module + " is not served");
            } else if (config.replacesHead() && form == AdapterForm.LM_HEAD) {
                problems.add(directory + ": " + module + " has LoRA and is in modules_to_save");
            } else {
                int rank = config.rankOf(module);
                boolean fitsA = fits(a, List.of(rank, in), 1, "input");
                boolean fitsB = fits(b, List.of(out, rank), 0, "output");
                if (fitsA && fitsB) {
                    spans.add(span(roleA, TensorSpan.NO_LAYER, a, 1));
                    spans.add(span(roleA + 1, TensorSpan.NO_LAYER, b, config.scaleOf(module)));
                    targets.add(module.substring(module.indexOf('.') + 1));
                    forms.add(form);
                    rankMax = Math.max(rankMax, rank);
                }
            }
        }

        private void verifyOwnHead(SafetensorsFile.@Nullable Tensor head) throws FileRejectedException {
            if (head == null) {
                if (config.replacesHead()) {
                    problems.add(directory + ": modules_to_save names lm_head, but its weights are not there");
                }
                return;
            }
            if (!config.replacesHead()) {
                problem(head.name(), "is there, but modules_to_save does not name lm_head");
                return;
            }
            boolean isServable = isServable(head);
            List<Long> wanted = List.of((long) base.vocab(), (long) base.hidden());
            if (!head.shape().equals(wanted)) {
                problem(head.name(), "has shape " + head.shape() + ", but the base model's LM head has " + wanted);
                return;
            }
            long bytes = (long) base.vocab() * base.hidden() * heads.elementBytes();
            if (bytes > heads.headBytesMax()) {
                problem(
                        head.name(),
                        "takes " + bytes + " bytes of memory; an LM head of an adapter's own may take "
                                + heads.headBytesMax() + " (chorale.adapters.head-bytes-max)");
            } else if (isServable) {
                spans.add(span(TensorSpan.HEAD, TensorSpan.NO_LAYER, head, 1));
                forms.add(AdapterForm.OWN_HEAD);
            }
        }

        private boolean isServable(SafetensorsFile.Tensor tensor) {
            if (!tensor.type().servable()) {
                problem(tensor.name(), "has dtype " + tensor.type() + "; F32, F16 and BF16 are served");
            }
            return tensor.type().servable();
        }

        private boolean isVector(SafetensorsFile.Tensor tensor, int length) {
            long elements = tensor.shape().stream().reduce(1L, (x, y) -> x * y);
            boolean isOne = tensor.shape().contains(elements) && !tensor.shape().isEmpty();
            if (!isOne || elements != length) {
                problem(
                        tensor.name(),
                        "has shape " + tensor.shape() + ", but a vector of " + length + " magnitudes is needed");
            }
            return isOne && elements == length;
        }

        /** @param baseAxis which of the two sizes is the base model's; the other is the rank */
        private boolean fits(SafetensorsFile.Tensor tensor, List<Integer> wanted, int baseAxis, String end) {
            int before = problems.size();
            isServable(tensor);
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

        private static TensorSpan vector(int role, int layer, SafetensorsFile.Tensor tensor) {
            long elements = tensor.bytes() / tensor.type().bytes;
            return new TensorSpan(role, layer, tensor.type(), 0, tensor.offset(), tensor.bytes(), 1, elements, 1, 0);
        }

        private void problem(String tensor, String sentence) {
            problems.add(file.path() + ": tensor '" + tensor + "' " + sentence);
        }
    }
}
