package io.chorale.boot;

import io.chorale.adapter.AdapterAdministration;
import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterFolder;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.AdapterShelf;
import io.chorale.adapter.AdapterSource;
import io.chorale.adapter.AdapterSources;
import io.chorale.adapter.AdapterStager;
import io.chorale.adapter.BaseCheck;
import io.chorale.adapter.DummyAdapters;
import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.HeadLimit;
import io.chorale.adapter.KnownDigests;
import io.chorale.adapter.NamedAdapter;
import io.chorale.config.AdapterSettings;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.jboss.logging.Logger;

/** The adapters come in: those that the folder has, those that are remembered, and those that are made up to measure with. */
final class AdapterIntake {
    private static final Logger LOG = Logger.getLogger("io.chorale");

    private final AdapterSettings settings;
    private final BaseModel base;
    private final Optional<Path> watched;
    private final AdapterFolder folder;
    private final AdapterRegistry registry = new AdapterRegistry();
    private final AdapterShelf shelf;
    private final AdapterSource source;

    /**
     * Registers them all.
     *
     * @param elementBytes of a number of an adapter in the engine's memory
     */
    AdapterIntake(AdapterSettings settings, BaseModel base, int elementBytes) {
        this.settings = settings;
        this.base = base;
        watched = settings.dir().or(base::adaptersBeside);
        KnownDigests digests = new KnownDigests();
        folder = new AdapterFolder(
                base.files().shape(),
                new HeadLimit(elementBytes, settings.headBytesMax().asLongValue()),
                new BaseCheck(modeOf(settings.baseCheck()), base.names()),
                digests);
        shelf = new AdapterShelf(folder, registry, digests, settings.stateDir());
        try {
            shelf.open(watched);
        } catch (FileRejectedException rejected) {
            throw StartRefusal.because("the adapters cannot be read: " + rejected.getMessage());
        }
        warn();
        source = settings.dummy().count() == 0 ? folder : dummies(settings.dummy());
    }

    private static BaseCheck.Mode modeOf(AdapterSettings.BaseCheck setting) {
        return switch (setting) {
            case WARN -> BaseCheck.Mode.WARN;
            case ENFORCE -> BaseCheck.Mode.ENFORCE;
            case OFF -> BaseCheck.Mode.OFF;
        };
    }

    private void warn() {
        for (AdapterEntry entry : registry.list()) {
            if (!entry.usable()) {
                LOG.warnf("adapter %s cannot be served: %s", entry.name(), String.join("; ", entry.problems()));
            }
        }
        List<AdapterEntry> doubtful = registry.list().stream()
                .filter(entry -> !entry.facts().warnings().isEmpty())
                .toList();
        if (!doubtful.isEmpty()) { // one line: a folder may hold thousands that are alike
            LOG.warnf(
                    "%d adapters are served although something speaks against them (chorale.adapters.base-check); the"
                            + " first is %s: %s",
                    doubtful.size(),
                    doubtful.getFirst().name(),
                    String.join("; ", doubtful.getFirst().facts().warnings()));
        }
    }

    private AdapterSource dummies(AdapterSettings.Dummy dummy) {
        try {
            DummyAdapters dummies = new DummyAdapters(
                    base.files().shape(),
                    new DummyAdapters.Settings(dummy.count(), dummy.ranks(), dummy.targets(), dummy.seed()),
                    folder);
            dummies.register(registry);
            return dummies;
        } catch (FileRejectedException rejected) {
            throw StartRefusal.of("chorale.adapters.dummy.count", dummy.count(), rejected);
        }
    }

    AdapterRegistry registry() {
        return registry;
    }

    AdapterShelf shelf() {
        return shelf;
    }

    /** Where the weights of registered adapters come from. */
    AdapterSource source() {
        return source;
    }

    /** What may be done to them while the server runs. */
    AdapterAdministration administration(AdapterStager stager, AdapterSources elsewhere) {
        List<Path> roots = Stream.concat(
                        watched.stream(), settings.roots().stream().flatMap(List::stream))
                .toList();
        return new AdapterAdministration(
                folder,
                registry,
                stager,
                shelf,
                roots,
                elsewhere,
                base.name(),
                settings.uploadBytesMax().asLongValue());
    }

    /** Those that are to stay in host memory and can be served. */
    List<NamedAdapter> pinned() {
        return registry.names().stream()
                .filter(named -> named.pinned() && named.entry().usable())
                .toList();
    }

    /** Names that can be asked for, in their order. */
    List<String> usableNames() {
        return registry.list().stream()
                .filter(AdapterEntry::usable)
                .map(AdapterEntry::name)
                .toList();
    }
}
