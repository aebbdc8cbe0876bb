package io.chorale.api;

import java.util.HashMap;
import java.util.Map;

/** Tickets with room for a whole answer, so that only time is against a client that does not read. */
public final class StallProfile extends TokensProfile {
    static final int STALL_SECONDS = 1;

    @Override
    public Map<String, String> getConfigOverrides() {
        Map<String, String> settings = new HashMap<>(super.getConfigOverrides());
        settings.put("chorale.engine.simulated.step", "5MS");
        settings.put("chorale.stream.buffer-events-max", "1024");
        settings.put("chorale.stream.replay-events-max", "8192");
        settings.put("chorale.stream.stall-max", STALL_SECONDS + "S");
        settings.put("chorale.stream.resume-grace", "20S");
        return settings;
    }
}
