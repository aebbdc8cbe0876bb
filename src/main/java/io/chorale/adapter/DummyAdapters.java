package io.chorale.adapter;

import io.chorale.engine.AdapterWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Adapters that nobody trained, to measure with: any number of them, of random numbers that the engine makes from a seed
 * when one is first staged. Beside adapters of another source.
 */
public final class DummyAdapters implements AdapterSource {
    /** With random A and B, B A x is as large as W x: this keeps the base model's part the larger one. */
    private static final float SCALE = 0.125f;

    /**
     * @param ranks dealt to the adapters in turn
     * @param targets the linears that they change, such as {@code q_proj}
     */
    public record Settings(int count, List<Integer> ranks, List<String> targets, long seed) {}

    /** What {@link Settings#targets} may name. */
    public static final List<String> LINEARS =
            Stream.of(Target.values()).map(Target::shortName).toList();

    private static final int NONE = -1;

    private final ModelShape base;
    private final Settings settings;
    private final Set<Target> targets = EnumSet.noneOf(Target.class);
    private final AdapterSource others;

    /** Versions from here on, as many as there are, are dummies. */
    private volatile int versionFirst = NONE;

    /** @param others where adapters come from that are none of these */
    public DummyAdapters(ModelShape base, Settings settings, AdapterSource others) throws FileRejectedException {
        this.base = base;
        this.settings = settings;
        this.others = others;
        for (String name : settings.targets()) {
            targets.add(Target.ofShortName(name)
                    .orElseThrow(() -> new FileRejectedException("dummy adapters: there is no linear '" + name + "'")));
        }
        int rankMax = Math.min(base.hidden(), base.intermediate());
        for (int rank : settings.ranks()) {
            if (rank < 1 || rank > rankMax) {
                throw new FileRejectedException(
                        "dummy adapters: rank " + rank + " is not between 1 and " + rankMax + " for this base model");
            }
        }
        if (targets.isEmpty() || settings.ranks().isEmpty()) {
            throw new FileRejectedException("dummy adapters: they need at least one target and one rank");
        }
    }

    /** Registers them all, named {@code dummy-0000} and on; nothing is made yet. */
    public void register(AdapterRegistry registry) {
        int digits = Math.max(4, String.valueOf(settings.count() - 1).length());
        List<String> names = targets.stream().map(Target::shortName).toList();
        List<AdapterEntry> made = new ArrayList<>();
        for (int i = 0; i < settings.count(); i++) {
            String number = String.valueOf(i);
            String name = "dummy-" + "0".repeat(digits - number.length()) + number;
            int rank = rank(i);
            long bytes = weightBytes(rank);
            AdapterFacts facts = new AdapterFacts(rank, names, bytes, "");
            String origin = "dummy/seed-" + seed(i) + "/rank-" + rank;
            made.add(new AdapterEntry(
                    AdapterEntry.UNREGISTERED, name, Path.of(origin), facts, origin, origin, List.of()));
        }
        List<AdapterEntry> registered = registry.addAll(made);
        versionFirst = registered.isEmpty() ? NONE : registered.getFirst().version();
    }

    @Override
    public AdapterWeights read(AdapterEntry entry) throws FileRejectedException {
        if (!isDummy(entry)) {
            return others.read(entry);
        }
        int index = entry.version() - versionFirst;
        List<TensorSpan> spans = new ArrayList<>();
        for (int layer = 0; layer < base.layers(); layer++) {
            for (Target target : targets) {
                add(target, layer, rank(index), seed(index), spans);
            }
        }
        return new AdapterWeights(entry.name(), entry.weightBytes(), ManifestWriter.adapter(List.of(), spans));
    }

    @Override
    public String digest(AdapterEntry entry) {
        return isDummy(entry) ? entry.digest() : others.digest(entry);
    }

    @Override
    public void confirm(AdapterEntry entry) throws FilesChangedException {
        if (!isDummy(entry)) {
            others.confirm(entry);
        }
    }

    private boolean isDummy(AdapterEntry entry) {
        int index = entry.version() - versionFirst;
        return versionFirst != NONE && index >= 0 && index < settings.count();
    }

    private void add(Target target, int layer, int rank, long seed, List<TensorSpan> spans) {
        int a = TensorSpan.LORA_A + target.code;
        int b = TensorSpan.LORA_B + target.code;
        spans.add(TensorSpan.ofNoise(a, layer, ElementType.BF16, rank, target.in(base), 1, seed));
        spans.add(TensorSpan.ofNoise(b, layer, ElementType.BF16, target.out(base), rank, SCALE, seed));
    }

    private long weightBytes(int rank) {
        long width = 0;
        for (Target target : targets) {
            width += target.in(base) + target.out(base);
        }
        return width * rank * base.layers() * ElementType.BF16.bytes;
    }

    private int rank(int index) {
        return settings.ranks().get(index % settings.ranks().size());
    }

    private long seed(int index) {
        return settings.seed() + index;
    }
}
