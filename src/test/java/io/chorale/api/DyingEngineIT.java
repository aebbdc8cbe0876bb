package io.chorale.api;

import io.quarkus.test.junit.QuarkusIntegrationTest;
import io.quarkus.test.junit.TestProfile;

/** The same of the native executable, which nothing but its own code can end. */
@QuarkusIntegrationTest
@TestProfile(DyingProfile.class)
class DyingEngineIT extends DyingEngineTest {}
