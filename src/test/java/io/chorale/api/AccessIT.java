package io.chorale.api;

import io.quarkus.test.junit.QuarkusIntegrationTest;
import io.quarkus.test.junit.TestProfile;

/** The same of the packaged application. */
@QuarkusIntegrationTest
@TestProfile(AccessProfile.class)
class AccessIT extends AccessTest {}
