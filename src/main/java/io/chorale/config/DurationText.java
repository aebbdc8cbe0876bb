package io.chorale.config;

import io.quarkus.runtime.configuration.DurationConverter;
import jakarta.annotation.Priority;
import java.time.Duration;
import org.eclipse.microprofile.config.spi.Converter;

/** Reads times as Quarkus does, and says of one that it cannot read how times are written. */
@Priority(250)
public final class DurationText implements Converter<Duration> {
    private static final long serialVersionUID = 1L;

    @Override
    public Duration convert(String text) {
        try {
            return DurationConverter.parseDuration(text.strip());
        } catch (RuntimeException unreadable) {
            throw new IllegalArgumentException("must be a time such as 500MS, 30S, 2M or 1H", unreadable);
        }
    }
}
