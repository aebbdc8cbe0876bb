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
 * A base model's folder, parsed and verified: what the model is, and where each of its tensors lies. Everything that is
 * wrong with the tensors is reported at once.
 */
public final class ModelFiles {
    /** Buffers that older versions of the trainer saved and that every reader computes anew. */
    private static final Pattern HARMLESS =
            Pattern.compile("model\\.layers\\.\\d+\\.self_attn\\.rotary_emb\\.inv_freq");

    private static final int PROBLEMS_MAX = 50;

    private final ModelConfig config;
    private final Checkpoint checkpoint;
    private final List<TensorSpan> spans;
    private final boolean tied;

    private ModelFiles(ModelConfig config, Checkpoint checkpoint, List<TensorSpan> spans, boolean tied) {
        this.config = config;
        this.checkpoint = checkpoint;
        this.spans = spans;
        this.tied = tied;
    }

    public static ModelFiles open(Path directory) throws FileRejectedException {
        ModelConfig config = ModelConfig.read(directory.resolve("config.json"));
        Checkpoint checkpoint = Checkpoint.open(directory);
        return new TensorMapping(directory, config, checkpoint).map();
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
        return ManifestWriter.model(config, tied, checkpoint.spanFiles(), spans);
    }

    /** The manifest of the same model inside a packed image. */
    ByteBuffer manifest(List<SpanFile> files, List<TensorSpan> placed) {
        return ManifestWriter.model(config, tied, files, placed);
    }

    List<SpanFile> files() {
        return checkpoint.spanFiles();
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
            for (int layer = 0; layer < shape.layers(); layer++) {
                mapLayer(layer);
            }
            for (Map.Entry<String, Checkpoint.Placed> entry :
                    checkpoint.tensors().entrySet()) {
                if (!used.contains(entry.getKey())
                        && !HARMLESS.matcher(entry.getKey()).matches()) {
                    problem(entry.getKey(), "has no place in a " + shape.family() + " of this configuration");
                }
            }
            if (!problems.isEmpty()) {
                List<String> shown = new ArrayList<>(problems.subList(0, Math.min(problems.size(), PROBLEMS_MAX)));
                if (problems.size() > PROBLEMS_MAX) {
                    shown.add("and " + (problems.size() - PROBLEMS_MAX) + " more tensors are wrong");
                }
                throw new FileRejectedException(shown);
            }
            return new ModelFiles(config, checkpoint, List.copyOf(spans), tied);
        }

        /**
         * The embedding and the head. A head that is in the files is used even where the configuration ties it: when both
         * are there they may differ, and then the file is right. When a tied pair was saved under the head's name only,
         * that is the embedding.
         */
        private boolean mapEnds() {
            String embed = "model.embed_tokens.weight";
            String head = "lm_head.weight";
            boolean hasHead = checkpoint.tensors().containsKey(head);
            boolean onlyHead = hasHead && !checkpoint.tensors().containsKey(embed);
            boolean tied = config.tied() && (!hasHead || onlyHead);
            matrix(config.tied() && onlyHead ? head : embed, TensorSpan.EMBED, shape.vocab(), shape.hidden());
            if (!tied) {
                matrix(head, TensorSpan.HEAD, shape.vocab(), shape.hidden());
            }
            vector("model.norm.weight", TensorSpan.FINAL_NORM, TensorSpan.NO_LAYER, shape.hidden());
            return tied;
        }

        private void mapLayer(int layer) {
            String prefix = "model.layers." + layer + ".";
            vector(prefix + "input_layernorm.weight", TensorSpan.ATTN_NORM, layer, shape.hidden());
            vector(prefix + "post_attention_layernorm.weight", TensorSpan.MLP_NORM, layer, shape.hidden());
            if (config.qkNorm()) {
                vector(prefix + "self_attn.q_norm.weight", TensorSpan.Q_NORM, layer, shape.headDim());
                vector(prefix + "self_attn.k_norm.weight", TensorSpan.K_NORM, layer, shape.headDim());
            }
            for (Target target : Target.values()) {
                String module = prefix + target.module;
                int out = target.out(shape);
                add(module + ".weight", TensorSpan.WEIGHT + target.code, layer, List.of(out, target.in(shape)));
                if (hasBias(target)) {
                    vector(module + ".bias", TensorSpan.BIAS + target.code, layer, out);
                }
            }
        }

        private boolean hasBias(Target target) {
            return switch (target) {
                case Q, K, V -> config.qkvBias();
                case O -> config.outBias();
                case GATE, UP, DOWN -> config.mlpBias();
            };
        }

        private void matrix(String name, int role, int rows, int cols) {
            add(name, role, TensorSpan.NO_LAYER, List.of(rows, cols));
        }

        private void vector(String name, int role, int layer, int size) {
            add(name, role, layer, List.of(size));
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
