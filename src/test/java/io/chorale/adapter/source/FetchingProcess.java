package io.chorale.adapter.source;

import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.Optional;

/** Another process that wants the same model. */
final class FetchingProcess {
    private FetchingProcess() {}

    /** @param args address of the hub, folder of all models */
    public static void main(String[] args) throws Exception {
        SourceRules rules = new SourceRules(
                List.of("hf://"),
                URI.create(args[0]),
                Optional.empty(),
                List.of(),
                Optional.empty(),
                "",
                Optional.empty(),
                Optional.empty(),
                Duration.ofSeconds(2),
                Duration.ofSeconds(2));
        new RemoteModels(
                        new SourceClient(rules, source -> RemoteModelsTest::threeTimes, InstantSource.system()),
                        new RemoteModels.Limits(64 << 20, 2, Duration.ofSeconds(10)))
                .fetch(new ModelWish("hf://good/fable", Optional.empty()), Path.of(args[1]), new FetchProgress());
    }
}
