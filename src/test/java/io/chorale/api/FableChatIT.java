package io.chorale.api;

import io.quarkus.test.junit.QuarkusIntegrationTest;

/** The same of the native executable: JNI, tokenizer, templates and streams. */
@QuarkusIntegrationTest
class FableChatIT extends FableChatTest {}
