package io.chorale.adapter;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * A base model's folder, parsed and verified: what the model is, and where each of its tensors lies, or from which seed it
 * is made. Everything that is wrong with the tensors is reported at once.
 */
public final class ModelFiles {
    /** Buffers that older versions of the trainer saved and that every reader computes anew. */
    private static final Pattern HARMLESS =
            Pattern.compile("model\\.layers\\.\\d+\\.self_attn\\.rotary_emb\\.inv_freq");

    /** What checkpoints are often put into, and what therefore says nothing. */
    static final String GENERIC_NAME = "model";

    private static final String CONFIG = "config.json";
    private static final String EMBED = "model.embed_tokens.weight";
    private static final String HEAD = "lm_head.weight";
    private static final String FINAL_NORM = "model.norm.weight";
    private static final int PROBLEMS_MAX = 50;

    private final ModelConfig config;
    private final List<SpanFile> files;
    private final List<TensorSpan> spans;
    private final boolean tied;

    private ModelFiles(ModelConfig config, List<SpanFile> files, List<TensorSpan> spans, boolean tied) {
        this.config = config;
        this.files = files;
        this.spans = spans;
        this.tied = tied;
    }

    public static ModelFiles open(Path directory) throws FileRejectedException {
        ModelConfig config = ModelConfig.read(directory.resolve(CONFIG));
        Checkpoint checkpoint = Checkpoint.open(directory);
        return new TensorMapping(directory, config, checkpoint).map();
    }

    /** A model of the folder's {@code config.json} whose weights nobody trained: the engine makes them from a seed. */
    public static ModelFiles dummy(Path directory, long seed) throws FileRejectedException {
        return dummy(ModelConfig.readJson(directory.resolve(CONFIG)), seed);
    }

    /** The same of a configuration that is built in. */
    public static ModelFiles dummy(BuiltInModel model, long seed) throws FileRejectedException {
        return dummy(model.config(), seed);
    }

    private static ModelFiles dummy(JsonObject json, long seed) throws FileRejectedException {
        ModelConfig config = ModelConfig.of(json);
        ElementType type = ElementType.ofConfig(json);
        ModelShape shape = config.shape();
        List<TensorSpan> spans = new ArrayList<>();
        ModelTensors.Visitor noise = (name, role, layer, sizes) -> {
            int rows = sizes.size() == 2 ? sizes.getFirst() : 1;
            spans.add(TensorSpan.ofNoise(role, layer, type, rows, sizes.getLast(), 1, seed));
        };
        List<Integer> ends = List.of(shape.vocab(), shape.hidden());
        noise.tensor(EMBED, TensorSpan.EMBED, TensorSpan.NO_LAYER, ends);
        if (!config.tied()) {
            noise.tensor(HEAD, TensorSpan.HEAD, TensorSpan.NO_LAYER, ends);
        }
        noise.tensor(FINAL_NORM, TensorSpan.FINAL_NORM, TensorSpan.NO_LAYER, List.of(shape.hidden()));
        new ModelTensors(config).ofLayers(noise);
        return new ModelFiles(config, List.of(), List.copyOf(spans), config.tied());
    }

    /** A name for the model in a folder: the folder's, or that of the one above where it is called "model". */
    public static String nameOf(Path directory) {
        Path absolute = directory.toAbsolutePath().normalize();
        Path parent = absolute.getParent();
        String own = lastOf(absolute);
        return own.equals(GENERIC_NAME) && parent != null && !lastOf(parent).isEmpty() ? lastOf(parent) : own;
    }

    private static String lastOf(Path path) {
        Path name = path.getFileName();
        return name == null ? "" : name.toString();
    }

    public ModelShape shape() {
        return config.shape();
    }

    /** Bytes of all tensors that are used. */
    public long weightBytes() {
        return spans.stream().mapToLong(TensorSpan::bytes).sum();
    }

    /** The model manifest of {@code chorale/image_abi.h}, in a direct buffer from position 0 to its limit. */
    public ByteBuffer manifest() {
        return ManifestWriter.model(config, tied, files, spans);
    }

    /** The manifest of the same model inside a packed image. */
    ByteBuffer manifest(List<SpanFile> packed, List<TensorSpan> placed) {
        return ManifestWriter.model(config, tied, packed, placed);
    }

    List<SpanFile> files() {
        return files;
    }

    List<TensorSpan> spans() {
        return spans;
    }

    /** Finds each tensor that the model needs, and says what is missing, misshapen or too much. */
    private static final class TensorMapping {
        private final Path directory;
        private final ModelConfig config;
        private final ModelShape shape;
        private final Checkpoint checkpoint;
        private final Set<String> used = new HashSet<>();
        private final List<TensorSpan> spans = new ArrayList<>();
        private final List<String> problems = new ArrayList<>();

        TensorMapping(Path directory, ModelConfig config, Checkpoint checkpoint) {
            this.directory = directory;
            this.config = config;
            this.shape = config.shape();
            this.checkpoint = checkpoint;
        }

        ModelFiles map() throws FileRejectedException {
            boolean tied = mapEnds();
            new ModelTensors(config).ofLayers(this::add);
            for (Map.Entry<String, Checkpoint.Placed> entry :
                    checkpoint.tensors().entrySet()) {
                if (!used.contains(entry.getKey())
                        && !HARMLESS.matcher(entry.getKey()).matches()) {
                    problem(entry.getKey(), "has no place in a " + shape.family() + " of this configuration");
                }
            }
            if (!problems.isEmpty()) {
                throw new FileRejectedException(FileRejectedException.first(PROBLEMS_MAX, problems));
            }
            return new ModelFiles(config, checkpoint.spanFiles(), List.copyOf(spans), tied);
        }

        /**
         * The embedding and the head. A head that is in the files is used even where the configuration ties it: when both
         * are there they may differ, and then the file is right. When a tied pair was saved under the head's name only,
         * that is the embedding.
         */
        private boolean mapEnds() {
            boolean hasHead = checkpoint.tensors().containsKey(HEAD);
            boolean onlyHead = hasHead && !checkpoint.tensors().containsKey(EMBED);
            boolean tied = config.tied() && (!hasHead || onlyHead);
            List<Integer> ends = List.of(shape.vocab(), shape.hidden());
            add(config.tied() && onlyHead ? HEAD : EMBED, TensorSpan.EMBED, TensorSpan.NO_LAYER, ends);
            if (!tied) {
                add(HEAD, TensorSpan.HEAD, TensorSpan.NO_LAYER, ends);
            }
            add(FINAL_NORM, TensorSpan.FINAL_NORM, TensorSpan.NO_LAYER, List.of(shape.hidden()));
            return tied;
        }

        private void add(String name, int role, int layer, List<Integer> wanted) {
            Checkpoint.Placed placed = checkpoint.tensors().get(name);
            used.add(name);
            if (placed == null) {
                problem(name, "is missing; the configuration asks for one of shape " + wanted);
                return;
            }
            SafetensorsFile.Tensor tensor = placed.tensor();
            if (!tensor.shape().equals(wanted.stream().map(Integer::longValue).toList())) {
                problem(name, "has shape " + tensor.shape() + ", but the configuration asks for " + wanted);
            } else if (!tensor.type().servable()) {
                problem(name, "has dtype " + tensor.type() + "; F32, F16 and BF16 are served");
            } else {
                long rows = wanted.size() == 2 ? wanted.getFirst() : 1;
                spans.add(new TensorSpan(
                        role,
                        layer,
                        tensor.type(),
                        placed.file(),
                        tensor.offset(),
                        tensor.bytes(),
                        rows,
                        wanted.getLast(),
                        1,
                        0));
            }
        }

        private void problem(String tensor, String sentence) {
            Checkpoint.Placed placed = checkpoint.tensors().get(tensor);
            Path where = placed == null
                    ? directory
                    : checkpoint.files().get(placed.file()).path();
            problems.add(where + ": tensor '" + tensor + "' " + sentence);
        }
    }
}
