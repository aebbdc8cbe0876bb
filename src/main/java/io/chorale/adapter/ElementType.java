package io.chorale.adapter;

import java.util.Optional;

/** What a safetensors file may hold, and which of it the engine can compute with. */
enum ElementType {
    BOOL(1, -1),
    U8(1, -1),
    I8(1, -1),
    F8_E4M3(1, -1),
    F8_E5M2(1, -1),
    F8_E8M0(1, -1),
    U16(2, -1),
    I16(2, -1),
    F16(2, 1),
    BF16(2, 2),
    U32(4, -1),
    I32(4, -1),
    F32(4, 0),
    U64(8, -1),
    I64(8, -1),
    F64(8, -1),
    C64(8, -1);

    final int bytes;
    private final int wireCode;

    ElementType(int bytes, int wireCode) {
        this.bytes = bytes;
        this.wireCode = wireCode;
    }

    /** Whether it is one of the three in which weights are served. */
    boolean servable() {
        return wireCode >= 0;
    }

    /** Its number in {@code chorale/image_abi.h}. */
    int wireCode() {
        return wireCode;
    }

    /** What {@code config.json} says that the weights are; BF16 where it says nothing. */
    static ElementType ofConfig(JsonObject config) throws FileRejectedException {
        String field = config.has("dtype") ? "dtype" : "torch_dtype";
        String name = config.text(field, "bfloat16");
        return switch (name) {
            case "bfloat16" -> BF16;
            case "float16" -> F16;
            case "float32" -> F32;
            default ->
                throw config.wrong(
                        field, "is " + JsonObject.shown(name) + "; bfloat16, float16 and float32 are served");
        };
    }

    static Optional<ElementType> of(String name) {
        for (ElementType type : values()) {
            if (type.name().equals(name)) {
                return Optional.of(type);
            }
        }
        return Optional.empty();
    }
}
