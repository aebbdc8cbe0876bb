package io.chorale.adapter;

import java.util.Optional;

/** The seven linears of a decoder layer, in the order of {@code chorale/image_abi.h}: what LoRA may change. */
enum Target {
    Q(0, "self_attn.q_proj"),
    K(1, "self_attn.k_proj"),
    V(2, "self_attn.v_proj"),
    O(3, "self_attn.o_proj"),
    GATE(4, "mlp.gate_proj"),
    UP(5, "mlp.up_proj"),
    DOWN(6, "mlp.down_proj");

    /** Its number in the manifest. */
    final int code;

    /** Its name inside a layer's module path. */
    final String module;

    Target(int code, String module) {
        this.code = code;
        this.module = module;
    }

    /** What configuration files call it, such as {@code q_proj}. */
    String shortName() {
        return module.substring(module.indexOf('.') + 1);
    }

    /** Rows of its weight matrix. */
    int out(ModelShape shape) {
        return switch (this) {
            case Q -> shape.heads() * shape.headDim();
            case K, V -> shape.kvHeads() * shape.headDim();
            case GATE, UP -> shape.intermediate();
            case O, DOWN -> shape.hidden();
        };
    }

    /** Columns of its weight matrix. */
    int in(ModelShape shape) {
        return switch (this) {
            case Q, K, V, GATE, UP -> shape.hidden();
            case O -> shape.heads() * shape.headDim();
            case DOWN -> shape.intermediate();
        };
    }

    static Optional<Target> ofModule(String module) {
        for (Target target : values()) {
            if (target.module.equals(module)) {
                return Optional.of(target);
            }
        }
        return Optional.empty();
    }

    static Optional<Target> ofShortName(String name) {
        for (Target target : values()) {
            if (target.shortName().equals(name)) {
                return Optional.of(target);
            }
        }
        return Optional.empty();
    }
}
