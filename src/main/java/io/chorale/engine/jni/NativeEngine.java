package io.chorale.engine.jni;

import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import io.chorale.platform.LibraryFolder;
import java.nio.ByteBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.util.ArrayDeque;
import java.util.Map;
import java.util.Queue;

/**
 * The engine port on the C++ engine. Owns the engine's handle; the buffers are reused from step to step.
 *
 * <p>A plan that the engine refuses has changed nothing there; the refusal waits here for the {@code await} whose turn it
 * is. The wire's step numbers count accepted steps only, since the engine knows no others.
 */
public final class NativeEngine implements Engine {
    /**
     * A begun step whose outcome has not been read.
     *
     * @param refusal why it never ran; empty when it did
     */
    private record Begun(long stepId, String refusal) {}

    private final long handle;
    private final EngineSpec spec;
    private final Map<String, String> description;
    private final StepEncoder encoder = new StepEncoder();
    private final StepDecoder decoder = new StepDecoder();
    private final LongBuffer bytesOut = NativeBuffers.oneLong();
    private final Queue<Begun> begun = new ArrayDeque<>();
    private final int begunMax;
    private long acceptedSteps;
    private boolean lastRefused;
    private boolean closed;

    private NativeEngine(long handle, Map<String, String> description) {
        this.handle = handle;
        this.description = Map.copyOf(description);
        begunMax = number("steps_in_flight_max");
        spec = new EngineSpec(
                text("backend"),
                text("device"),
                number("page_count"),
                number("page_tokens"),
                Long.parseLong(text("page_bytes")),
                number("hidden"),
                number("vocab"),
                number("context_max"),
                number("slots_max"),
                number("scratch_max"),
                number("rows_max"),
                number("sequences_max"),
                number("samples_max"),
                number("layer_groups"),
                text("kv_type").equals("f32") ? Float.BYTES : Short.BYTES);
    }

    /**
     * @param manifest direct buffer with a model manifest of {@code chorale/image_abi.h}
     * @throws EngineFault REJECTED_INPUT naming what is wrong, or OUT_OF_RESOURCE
     */
    public static NativeEngine create(NativeEngineConfig config, ByteBuffer manifest) {
        NativeLibraries.load();
        ByteBuffer lines = NativeBuffers.of(config.lines(LibraryFolder.path().toString()));
        LongBuffer handle = NativeBuffers.oneLong();
        check(ChoraleNative.ch_engine_create(lines, lines.limit(), manifest, manifest.limit(), handle));
        long engine = handle.get(0);
        String description = NativeBuffers.text(
                (out, capacity, bytes) -> ChoraleNative.ch_engine_spec(engine, out, capacity, bytes));
        return new NativeEngine(engine, EngineLines.parse(description));
    }

    @Override
    public EngineSpec spec() {
        return spec;
    }

    /** Everything that the engine says about itself, by the names of {@code ch_engine_spec}. */
    public Map<String, String> description() {
        return description;
    }

    @Override
    public void begin(StepPlan plan) {
        if (begun.size() == begunMax) {
            throw new IllegalStateException(begunMax + " steps are begun and not yet awaited");
        }
        String refusal = problem(plan);
        if (refusal.isEmpty()) {
            SectionBuffer step = encoder.step(plan, acceptedSteps);
            int status = ChoraleNative.ch_engine_begin(handle, step.bytes(), step.size());
            refusal = status == ChoraleNative.OK ? "" : refusalOf(status);
        }
        lastRefused = !refusal.isEmpty();
        begun.add(new Begun(plan.stepId, refusal));
        if (lastRefused) {
            return;
        }
        if (plan.hasLate()) {
            SectionBuffer late = encoder.late(plan, acceptedSteps, spec.vocab());
            if (ChoraleNative.ch_engine_late(handle, late.bytes(), late.size()) != ChoraleNative.OK) {
                // It was checked before the step was begun, and the step now waits for it for ever.
                throw new EngineFault(EngineFault.Kind.DEAD, NativeBuffers.lastError());
            }
        }
        acceptedSteps++;
    }

    /** What must be refused before the engine sees it, or nothing. */
    private String problem(StepPlan plan) {
        if (lastRefused) {
            for (int t = 0; t < plan.rowCount; t++) {
                if (plan.tokenIds[t] < 0) {
                    return "row " + t + " continues a sample of the step before, which was refused";
                }
            }
        }
        return plan.hasLate() ? StepEncoder.lateProblem(plan, spec.vocab()) : "";
    }

    /** The sentence of a refused plan; a dead engine is an exception. */
    private static String refusalOf(int status) {
        String message = NativeBuffers.lastError();
        if (status != ChoraleNative.INVALID_ARGUMENT) { // how far it came is not known
            throw new EngineFault(EngineFault.Kind.DEAD, message);
        }
        return message;
    }

    @Override
    public StepOutcome await() {
        Begun oldest = begun.remove();
        if (!oldest.refusal().isEmpty()) {
            return decoder.refused(oldest.stepId(), oldest.refusal());
        }
        int status = readResult();
        if (status == ChoraleNative.RESOURCE_EXHAUSTED
                && bytesOut.get(0) > decoder.bytes().capacity()) {
            decoder.grow(bytesOut.get(0));
            status = readResult();
        }
        if (status != ChoraleNative.OK) {
            throw new EngineFault(EngineFault.Kind.DEAD, NativeBuffers.lastError());
        }
        return decoder.decode(oldest.stepId(), spec.hidden());
    }

    private int readResult() {
        ByteBuffer result = decoder.bytes();
        return ChoraleNative.ch_engine_await(handle, result, result.capacity(), bytesOut);
    }

    @Override
    public StagedAdapter stage(AdapterWeights weights) {
        ByteBuffer manifest = weights.manifest();
        LongBuffer staged = NativeBuffers.oneLong();
        LongBuffer pages = NativeBuffers.oneLong();
        LongBuffer bytes = NativeBuffers.oneLong();
        int status = ChoraleNative.ch_adapter_stage(handle, manifest, manifest.limit(), staged, pages, bytes);
        if (status != ChoraleNative.OK) {
            throw new EngineFault(kindOf(status), "adapter '" + weights.name() + "': " + NativeBuffers.lastError());
        }
        return new StagedAdapter(staged.get(0), Math.toIntExact(pages.get(0)), bytes.get(0), weights.mergeable());
    }

    @Override
    public void release(StagedAdapter adapter) {
        check(ChoraleNative.ch_adapter_release(handle, adapter.handle()));
    }

    @Override
    public long stagedBytes() {
        LongBuffer bytes = NativeBuffers.oneLong();
        check(ChoraleNative.ch_adapter_bytes(handle, bytes));
        return bytes.get(0);
    }

    /** Audit: fills a staged adapter's host memory with NaN. Needs {@link NativeEngineConfig#poison}, as all audits. */
    public void poisonHost(StagedAdapter adapter) {
        check(ChoraleNative.ch_adapter_poison(handle, adapter.handle()));
    }

    /** Audit: fills pages of the pool with NaN. */
    public void poisonPages(int... pages) {
        IntBuffer list = NativeBuffers.allocate(pages.length * Integer.BYTES).asIntBuffer();
        list.put(0, pages);
        check(ChoraleNative.ch_pool_poison(handle, list, pages.length));
    }

    /** Audit: a hash of the base weights as they are in memory now. */
    public long weightsDigest() {
        LongBuffer digest = NativeBuffers.oneLong();
        check(ChoraleNative.ch_weights_digest(handle, digest));
        return digest.get(0);
    }

    /** Ends begun steps, then frees everything. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            check(ChoraleNative.ch_engine_destroy(handle));
        }
    }

    private static void check(int status) {
        if (status != ChoraleNative.OK) {
            throw new EngineFault(kindOf(status), NativeBuffers.lastError());
        }
    }

    private static EngineFault.Kind kindOf(int status) {
        return switch (status) {
            case ChoraleNative.INVALID_ARGUMENT -> EngineFault.Kind.REJECTED_INPUT;
            case ChoraleNative.RESOURCE_EXHAUSTED -> EngineFault.Kind.OUT_OF_RESOURCE;
            default -> EngineFault.Kind.DEAD;
        };
    }

    private String text(String name) {
        String value = description.get(name);
        if (value == null) {
            throw new IllegalStateException("the engine library does not tell its " + name);
        }
        return value;
    }

    private int number(String name) {
        return Integer.parseInt(text(name));
    }
}
