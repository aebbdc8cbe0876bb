package io.chorale.config;

import java.util.Locale;
import org.eclipse.microprofile.config.spi.Converter;

/** Reads what is true or false. The usual converter takes every word that it does not know for false. */
public final class FlagText implements Converter<Boolean> {
    private static final long serialVersionUID = 1L;

    @Override
    public Boolean convert(String text) {
        return switch (text.strip().toLowerCase(Locale.ROOT)) {
            case "true", "yes", "on", "1" -> true;
            case "false", "no", "off", "0" -> false;
            default -> throw new IllegalArgumentException("must be true or false");
        };
    }
}
