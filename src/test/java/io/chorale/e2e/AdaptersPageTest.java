package io.chorale.e2e;

import io.chorale.api.AdminProfile;
import io.chorale.testing.Npm;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import java.net.URI;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Headless Chromium at the page of adapters; pictures go to target/screenshots. */
@QuarkusTest
@TestProfile(AdminProfile.class)
class AdaptersPageTest {
    @TestHTTPResource("/")
    @SuppressWarnings("NullAway.Init") // set by Quarkus
    URI server;

    @Test
    void anAdministratorLoadsPinsAndRemoves() throws Exception {
        Npm.test(
                "adapters.mjs",
                server.toString(),
                AdminProfile.KEY,
                Path.of("target/screenshots").toAbsolutePath().toString());
    }
}
