package io.chorale.adapter;

import java.util.List;

/** The tensors that a model of some configuration has inside its layers, by the names that checkpoints give them. */
record ModelTensors(ModelConfig config) {
    /** Told of each tensor, in the order of the layers. */
    @FunctionalInterface
    interface Visitor {
        /** @param shape of a matrix [rows, columns], of a vector [size] */
        void tensor(String name, int role, int layer, List<Integer> shape);
    }

    void ofLayers(Visitor visitor) {
        for (int layer = 0; layer < config.shape().layers(); layer++) {
            ofLayer(layer, visitor);
        }
    }

    private void ofLayer(int layer, Visitor visitor) {
        ModelShape shape = config.shape();
        String prefix = "model.layers." + layer + ".";
        List<Integer> hidden = List.of(shape.hidden());
        visitor.tensor(prefix + "input_layernorm.weight", TensorSpan.ATTN_NORM, layer, hidden);
        visitor.tensor(prefix + "post_attention_layernorm.weight", TensorSpan.MLP_NORM, layer, hidden);
        if (config.qkNorm()) {
            List<Integer> head = List.of(shape.headDim());
            visitor.tensor(prefix + "self_attn.q_norm.weight", TensorSpan.Q_NORM, layer, head);
            visitor.tensor(prefix + "self_attn.k_norm.weight", TensorSpan.K_NORM, layer, head);
        }
        for (Target target : Target.values()) {
            String module = prefix + target.module;
            int out = target.out(shape);
            List<Integer> matrix = List.of(out, target.in(shape));
            visitor.tensor(module + ".weight", TensorSpan.WEIGHT + target.code, layer, matrix);
            if (hasBias(target)) {
                visitor.tensor(module + ".bias", TensorSpan.BIAS + target.code, layer, List.of(out));
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
}
