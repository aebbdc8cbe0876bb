package io.chorale.api;

import io.quarkus.test.junit.QuarkusIntegrationTest;

/** The same of the native executable. */
@QuarkusIntegrationTest
class MetricsIT extends MetricsTest {}
