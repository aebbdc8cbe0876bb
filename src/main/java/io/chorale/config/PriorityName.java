package io.chorale.config;

import io.chorale.core.model.Priority;
import java.util.Locale;
import org.eclipse.microprofile.config.spi.Converter;

/** Reads the class in the name of a key; what goes wrong there is reported without that name, so this says it. */
public final class PriorityName implements Converter<Priority> {
    private static final long serialVersionUID = 1L;

    @Override
    public Priority convert(String text) {
        return switch (text.strip().toLowerCase(Locale.ROOT)) {
            case "high" -> Priority.HIGH;
            case "normal" -> Priority.NORMAL;
            case "low" -> Priority.LOW;
            default ->
                throw new IllegalArgumentException(
                        "chorale.objectives." + text + ": there is no such class; it must be high, normal or low");
        };
    }
}
