package io.chorale.api;

import io.quarkus.test.junit.QuarkusIntegrationTest;
import io.quarkus.test.junit.TestProfile;
import org.junit.jupiter.api.Tag;

/** The same of the native executable. */
@Tag("long")
@QuarkusIntegrationTest
@TestProfile(StallProfile.class)
class StalledClientIT extends StalledClientTest {}
