package io.chorale.e2e;

import io.chorale.api.AdminProfile;
import io.chorale.testing.Npm;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.QuarkusTestProfile;
import io.quarkus.test.junit.TestProfile;
import java.net.URI;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Headless Chromium at the pages of a server that wants keys; pictures go to target/screenshots. */
@QuarkusTest
@TestProfile(PageKeysTest.Keys.class)
class PageKeysTest {
    private static final String KEY = "visitor-key";

    /** The server of the administration tests, without a tokenizer (a JVM loads one only once), for whoever has a key. */
    public static class Keys implements QuarkusTestProfile {
        @Override
        public Map<String, String> getConfigOverrides() {
            Map<String, String> settings = new HashMap<>(new AdminProfile().getConfigOverrides());
            settings.put("chorale.keys.visitor.key", KEY);
            return settings;
        }
    }

    @TestHTTPResource("/")
    @SuppressWarnings("NullAway.Init") // set by Quarkus
    URI server;

    @Test
    void aVisitorWithAKeyIsServedOnBothPages() throws Exception {
        Npm.test(
                "keys.mjs",
                server.toString(),
                KEY,
                AdminProfile.KEY,
                Path.of("target/screenshots").toAbsolutePath().toString());
    }
}
