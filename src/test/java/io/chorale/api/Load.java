package io.chorale.api;

import static org.junit.jupiter.api.Assertions.fail;

import io.restassured.RestAssured;
import io.restassured.path.json.JsonPath;
import java.util.function.Predicate;

/** Looks at {@code /v1/load} until it is as it should be. */
final class Load {
    private static final long MILLIS_MAX = 20_000;

    private Load() {}

    /** Nothing waits or runs, and no page is held for a sequence. */
    static void awaitIdle() throws InterruptedException {
        await(load -> load.getInt("requests.running") == 0
                && load.getInt("requests.waiting") == 0
                && load.getInt("pages.kv") == 0
                && load.getInt("pages.quarantined") == 0);
    }

    static void await(Predicate<JsonPath> wanted) throws InterruptedException {
        long until = System.currentTimeMillis() + MILLIS_MAX;
        JsonPath load = RestAssured.get("/v1/load").jsonPath();
        while (!wanted.test(load)) {
            if (System.currentTimeMillis() > until) {
                fail("the load stays " + load.prettify());
            }
            Thread.sleep(5);
            load = RestAssured.get("/v1/load").jsonPath();
        }
    }
}
