package io.chorale.boot;

import io.chorale.adapter.AdapterSources;
import io.chorale.adapter.source.FaultTolerance;
import io.chorale.adapter.source.RemoteSources;
import io.chorale.adapter.source.SourceEvents;
import io.chorale.config.SourceSettings;
import jakarta.inject.Singleton;
import java.util.List;

/** Puts together what adapters may be fetched with, as the settings say. */
@Singleton
public class SourceFactory {
    private final SourceSettings settings;

    SourceFactory(SourceSettings settings) {
        this.settings = settings;
    }

    AdapterSources create(SourceEvents events) {
        RemoteSources.Rules rules = new RemoteSources.Rules(
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
        return RemoteSources.guarded(rules, new FaultTolerance(limits, events));
    }
}
