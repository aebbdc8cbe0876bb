package io.chorale.e2e;

import io.chorale.testing.Npm;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import java.net.URI;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Headless Chromium at the page, with the bundled model on the CPU engine; pictures go to target/screenshots. */
@QuarkusTest
class ConsoleTest {
    @TestHTTPResource("/")
    @SuppressWarnings("NullAway.Init") // set by Quarkus
    URI server;

    @Test
    void aVisitorHearsSevenVoicesAndIsToldWhatIsWrong() throws Exception {
        Npm.test(
                "console.mjs",
                server.toString(),
                Fable.EXPECTED.toString(),
                Path.of("target/screenshots").toAbsolutePath().toString());
    }
}
