package io.chorale.boot;

import io.chorale.adapter.source.FaultTolerance;
import io.chorale.adapter.source.RemoteModels;
import io.chorale.adapter.source.RemoteSources;
import io.chorale.adapter.source.SourceClient;
import io.chorale.adapter.source.SourceEvents;
import io.chorale.adapter.source.SourceRules;
import io.chorale.config.ModelSettings;
import io.chorale.config.SourceSettings;
import jakarta.inject.Singleton;
import java.util.List;

/** Puts together what adapters and models may be fetched with, as the settings say: one client, and one guard a source. */
@Singleton
public class SourceFactory {
    private final SourceSettings settings;
    private final ModelSettings model;
    private final SourceEvents events = new SourceEvents();
    private final SourceClient client;

    SourceFactory(SourceSettings settings, ModelSettings model) {
        this.settings = settings;
        this.model = model;
        SourceRules rules = new SourceRules(
                settings.allowed().orElse(List.of()),
                settings.hub(),
                settings.hubToken(),
                settings.hubRedirects(),
                settings.s3Endpoint(),
                settings.s3Region(),
                settings.s3AccessKey(),
                settings.s3SecretKey(),
                settings.connectTimeout(),
                settings.stallTimeout());
        FaultTolerance.Limits limits = new FaultTolerance.Limits(
                settings.tryTimeout(),
                settings.retries(),
                settings.retryPause(),
                settings.breakerPause(),
                settings.fetchesMax());
        client = SourceClient.guarded(rules, new FaultTolerance(limits, events));
    }

    RemoteSources adapters() {
        return new RemoteSources(client);
    }

    RemoteModels models() {
        // Half of a try's time: an attempt that brings something ends before it counts as one that takes too long.
        return new RemoteModels(
                client,
                new RemoteModels.Limits(
                        model.fetchBytesMax().asLongValue(),
                        settings.fetchesMax(),
                        settings.tryTimeout().dividedBy(2)));
    }

    /** What happens at the sources. */
    SourceEvents events() {
        return events;
    }
}
