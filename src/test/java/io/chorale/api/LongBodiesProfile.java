package io.chorale.api;

import java.util.HashMap;
import java.util.Map;

/** Bodies of up to 4 MiB, and 8 MiB of them at once, which must come within 12 s. */
public class LongBodiesProfile extends TokensProfile {
    static final int BYTES_MAX = 4 << 20;

    @Override
    public Map<String, String> getConfigOverrides() {
        Map<String, String> settings = new HashMap<>(super.getConfigOverrides());
        settings.put("chorale.stream.body-bytes-max", "4M");
        settings.put("chorale.stream.bodies-bytes-max", "8M");
        settings.put("chorale.stream.body-within", "12S");
        return settings;
    }
}
