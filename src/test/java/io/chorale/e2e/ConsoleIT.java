package io.chorale.e2e;

import io.quarkus.test.junit.QuarkusIntegrationTest;
import org.junit.jupiter.api.Tag;

/** The same of the native executable. */
@Tag("long")
@QuarkusIntegrationTest
class ConsoleIT extends ConsoleTest {}
