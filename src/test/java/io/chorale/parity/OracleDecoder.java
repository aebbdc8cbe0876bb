package io.chorale.parity;

import io.chorale.adapter.SafetensorsWriter.Values;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The forward pass of the four families in double precision, as their papers read: no cache, no batch, every position
 * computed anew. What the engine is compared with where no stored answer exists.
 */
final class OracleDecoder {
    private static final String HEAD = "lm_head.weight";
    private static final String EMBEDDING = "model.embed_tokens.weight";

    private final OddModel model;
    private final Map<String, double[][]> weights = new LinkedHashMap<>();
    /** What tokens before {@link #activeFrom} are computed with instead. */
    private Map<String, double[][]> baseWeights = weights;

    private int activeFrom;
    private final double[] frequencies;
    private final double magnitude;

    /** @param frequencies of the rotation, as the test works them out for this model */
    OracleDecoder(OddModel model, @Nullable OddAdapter adapter, double[] frequencies, double magnitude) {
        this.model = model;
        this.frequencies = frequencies;
        this.magnitude = magnitude;
        model.tensors().forEach((name, values) -> weights.put(name, matrix(values)));
        if (adapter != null) {
            add(adapter, 1);
        }
    }

    /** Adds an activated adapter, which acts on the tokens from this one on. */
    void addFrom(OddAdapter adapter, int from) {
        baseWeights = new LinkedHashMap<>();
        weights.forEach((name, matrix) ->
                baseWeights.put(name, Arrays.stream(matrix).map(double[]::clone).toArray(double[][]::new)));
        activeFrom = from;
        add(adapter, 1);
    }

    /** Adds an adapter with a factor on its own scale. */
    void add(OddAdapter adapter, double factor) {
        adapter.pairs().forEach((module, pair) -> add(module + ".weight", pair, factor));
    }

    /** Adds one pair to a module. */
    void add(String module, OddAdapter.Pair pair) {
        add(module + ".weight", pair, 1);
    }

    private void add(String name, OddAdapter.Pair pair, double factor) {
        double[][] w = weight(name);
        double[][] a = matrix(pair.a());
        double[][] b = matrix(pair.b());
        for (int out = 0; out < w.length; out++) {
            for (int r = 0; r < pair.rank(); r++) {
                for (int in = 0; in < w[out].length; in++) {
                    w[out][in] += factor * pair.scale() * b[out][r] * a[r][in];
                }
            }
        }
    }

    /** DoRA: every row of the sum at the length that its magnitude says. */
    void addByMagnitude(String module, OddAdapter.Pair pair, Values magnitudes) {
        add(module + ".weight", pair, 1);
        double[][] w = weight(module + ".weight");
        for (int out = 0; out < w.length; out++) {
            double norm = Math.sqrt(Arrays.stream(w[out]).map(x -> x * x).sum());
            for (int in = 0; in < w[out].length; in++) {
                w[out][in] *= magnitudes.values()[out] / norm;
            }
        }
    }

    /** LoRA of the head alone, also where the base model's is its embedding. */
    void addToHead(OddAdapter.Pair pair) {
        untie();
        add(HEAD, pair, 1);
    }

    /** LoRA of the embedding alone: A has a column and the table a row for each token. */
    void addToEmbedding(OddAdapter.Pair pair) {
        untie();
        double[][] table = weight(EMBEDDING);
        double[][] a = matrix(pair.a());
        double[][] b = matrix(pair.b());
        for (int token = 0; token < table.length; token++) {
            for (int i = 0; i < table[token].length; i++) {
                for (int r = 0; r < pair.rank(); r++) {
                    table[token][i] += pair.scale() * b[i][r] * a[r][token];
                }
            }
        }
    }

    void replaceHead(Values head) {
        weights.put(HEAD, matrix(head));
    }

    private void untie() {
        weights.putIfAbsent(
                HEAD, Arrays.stream(weight(EMBEDDING)).map(double[]::clone).toArray(double[][]::new));
    }

    /** Logits after the last token. */
    double[] logits(int[] tokens) {
        double[][] x = new double[tokens.length][];
        for (int t = 0; t < tokens.length; t++) {
            x[t] = weight("model.embed_tokens.weight")[tokens[t]].clone();
        }
        for (int layer = 0; layer < model.size("num_hidden_layers"); layer++) {
            String prefix = "model.layers." + layer + ".";
            addTo(x, attention(normed(x, prefix + "input_layernorm.weight"), prefix + "self_attn.", layer));
            addTo(x, feedForward(normed(x, prefix + "post_attention_layernorm.weight"), prefix + "mlp."));
        }
        double[] last = norm(x[tokens.length - 1], weight("model.norm.weight")[0]);
        double[][] head = weights.get("lm_head.weight");
        return product(head == null ? weight("model.embed_tokens.weight") : head, last);
    }

    private double[][] attention(double[][] x, String prefix, int layer) {
        int dims = model.headDim();
        int group = model.size("num_attention_heads") / model.kvHeads();
        double[][] q = linear(x, prefix + "q_proj");
        double[][] k = linear(x, prefix + "k_proj");
        double[][] v = linear(x, prefix + "v_proj");
        for (int t = 0; t < x.length; t++) {
            rotate(q[t], t, weights.get(prefix + "q_norm.weight"));
            rotate(k[t], t, weights.get(prefix + "k_norm.weight"));
        }
        int window = window(layer);
        double[][] mixed = new double[x.length][q[0].length];
        for (int t = 0; t < x.length; t++) {
            int from = window == 0 ? 0 : Math.max(0, t - window + 1);
            for (int head = 0; head < q[t].length / dims; head++) {
                int kv = head / group * dims;
                double[] share = new double[t + 1];
                double sum = 0;
                double largest = Double.NEGATIVE_INFINITY;
                for (int s = from; s <= t; s++) {
                    for (int i = 0; i < dims; i++) {
                        share[s] += q[t][head * dims + i] * k[s][kv + i] / Math.sqrt(dims);
                    }
                    largest = Math.max(largest, share[s]);
                }
                for (int s = from; s <= t; s++) {
                    share[s] = Math.exp(share[s] - largest);
                    sum += share[s];
                }
                for (int s = from; s <= t; s++) {
                    for (int i = 0; i < dims; i++) {
                        mixed[t][head * dims + i] += share[s] / sum * v[s][kv + i];
                    }
                }
            }
        }
        return linear(mixed, prefix + "o_proj");
    }

    private int window(int layer) {
        boolean sliding =
                model.is("Mistral") || (model.flag("use_sliding_window") && layer >= model.size("max_window_layers"));
        return sliding ? model.size("sliding_window") : 0;
    }

    /** Normalises each head where the family does, then rotates pairs (i, i + dims/2). */
    private void rotate(double[] heads, int position, double @Nullable [][] norm) {
        int dims = model.headDim();
        for (int at = 0; at < heads.length; at += dims) {
            double[] head = Arrays.copyOfRange(heads, at, at + dims);
            double[] h = norm == null ? head : norm(head, norm[0]);
            for (int i = 0; i < dims / 2; i++) {
                double cos = Math.cos(position * frequencies[i]) * magnitude;
                double sin = Math.sin(position * frequencies[i]) * magnitude;
                heads[at + i] = h[i] * cos - h[i + dims / 2] * sin;
                heads[at + i + dims / 2] = h[i + dims / 2] * cos + h[i] * sin;
            }
        }
    }

    private double[][] feedForward(double[][] x, String prefix) {
        double[][] gate = linear(x, prefix + "gate_proj");
        double[][] up = linear(x, prefix + "up_proj");
        for (int t = 0; t < x.length; t++) {
            for (int i = 0; i < up[t].length; i++) {
                up[t][i] *= gate[t][i] / (1 + Math.exp(-gate[t][i]));
            }
        }
        return linear(up, prefix + "down_proj");
    }

    private double[][] linear(double[][] x, String module) {
        double[][] bias = weights.get(module + ".bias");
        double[][] out = new double[x.length][];
        for (int t = 0; t < x.length; t++) {
            out[t] = product(weight(t < activeFrom ? baseWeights : weights, module + ".weight"), x[t]);
            for (int i = 0; bias != null && i < out[t].length; i++) {
                out[t][i] += bias[0][i];
            }
        }
        return out;
    }

    private double[][] normed(double[][] x, String name) {
        double[][] out = new double[x.length][];
        for (int t = 0; t < x.length; t++) {
            out[t] = norm(x[t], weight(name)[0]);
        }
        return out;
    }

    private double[] norm(double[] x, double[] gain) {
        double squares = 0;
        for (double value : x) {
            squares += value * value;
        }
        double factor = 1 / Math.sqrt(squares / x.length + model.number("rms_norm_eps", 1e-6));
        double[] out = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            out[i] = x[i] * factor * gain[i];
        }
        return out;
    }

    private double[][] weight(String name) {
        return weight(weights, name);
    }

    private static double[][] weight(Map<String, double[][]> weights, String name) {
        double[][] weight = weights.get(name);
        if (weight == null) {
            throw new IllegalArgumentException(name);
        }
        return weight;
    }

    private static double[] product(double[][] w, double[] x) {
        double[] out = new double[w.length];
        for (int row = 0; row < w.length; row++) {
            for (int i = 0; i < x.length; i++) {
                out[row] += w[row][i] * x[i];
            }
        }
        return out;
    }

    private static void addTo(double[][] x, double[][] y) {
        for (int t = 0; t < x.length; t++) {
            for (int i = 0; i < x[t].length; i++) {
                x[t][i] += y[t][i];
            }
        }
    }

    /** Vectors are matrices of one row. */
    private static double[][] matrix(Values values) {
        int rows = values.shape().length == 2 ? values.shape()[0] : 1;
        int cols = values.values().length / rows;
        double[][] matrix = new double[rows][cols];
        for (int i = 0; i < rows * cols; i++) {
            matrix[i / cols][i % cols] = values.values()[i];
        }
        return matrix;
    }
}
