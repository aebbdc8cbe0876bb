package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/**
 * Bad settings stop the start, and of each the operator reads the key, the value and what is allowed. All that are wrong are
 * told at once, so two processes do for the whole table: one for what cannot be read, one for what can be read and not be.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class BadSettingsIT {
    private static final Duration END_MAX = Duration.ofSeconds(60);

    /** @param said parts of the one line that tells of it */
    record Bad(String key, String value, String... said) {
        @Override
        public String toString() {
            return key + "=" + value;
        }
    }

    private static Bad bad(String key, String value, String... said) {
        return new Bad(key, value, said);
    }

    /** Policies that nobody knows, words for numbers, keys that are none. */
    static final List<Bad> UNREADABLE = List.of(
            bad("chorale.policy.preset", "vllm", "\"vllm\"", "chorale", "dlora", "fcfs", "slora"),
            bad("chorale.policy.order", "oldest", "\"oldest\"", "adaptive", "arrival", "credits", "fair", "newest"),
            bad("chorale.policy.within", "tenants", "\"tenants\"", "adapters", "adaptive", "arrival", "newest"),
            bad("chorale.policy.clustering", "maybe", "\"maybe\"", "deficit", "none", "soft-limit", "one-at-a-time"),
            bad("chorale.policy.abort", "always", "\"always\"", "constant", "measured", "never"),
            bad("chorale.policy.memory", "all", "\"all\"", "optimistic", "peak-demand"),
            bad("chorale.policy.merge", "sometimes", "always-merged", "always-unmerged", "cost", "thresholds"),
            bad("chorale.policy.preemption", "oldest", "\"oldest\"", "cheapest", "latest"),
            bad("chorale.policy.eviction", "mru", "\"mru\"", "at-once", "fewest-waiting", "lru", "score"),
            bad("chorale.policy.prefetch", "maybe", "\"maybe\"", "must be true or false"),
            bad("chorale.policy.quantum", "much", "\"much\"", "Expected a double value"),
            bad("chorale.policy.patience", "soon", "\"soon\"", "must be a time such as 500MS, 30S, 2M or 1H"),
            bad("chorale.policy.ordre", "fair", "does not map to any root"),
            bad("chorale.engine.kind", "tpu", "\"tpu\"", "auto", "cpu", "cuda", "simulated"),
            bad("chorale.engine.overlapped", "ja", "\"ja\"", "must be true or false"),
            bad("chorale.scheduler.sequences-max", "many", "\"many\"", "Expected an integer value"),
            bad("chorale.adapters.host-bytes", "lots", "lots", "[0-9]+[BbKkMmGgTtPpEeZzYy]?"),
            bad("chorale.tenants.acme.weight", "heavy", "\"heavy\"", "Expected a double value"),
            bad("chorale.tenants.acme.priority", "urgent", "\"urgent\"", "high", "low", "normal"),
            bad("chorale.tenants.acme.trusted", "perhaps", "\"perhaps\"", "must be true or false"),
            bad("chorale.objectives.urgent.ttft", "1S", "there is no such class; it must be high, normal or low"),
            bad("chorale.objectives.high.ttft", "at once", "\"at once\"", "must be a time such as"),
            bad("chorale.keys.ops.admin", "of course", "\"of course\"", "must be true or false"));

    /** Weights below zero, objectives of nothing, shares of more than all. */
    static final List<Bad> IMPOSSIBLE = List.of(
            bad("chorale.policy.input-price", "-1", "= -1.0: must be between 0 and 1000000000"),
            bad("chorale.policy.output-price", "0", "= 0.0: must be above 0"),
            bad("chorale.policy.upload-price", "NaN", "= NaN: must be between 0 and 1000000000"),
            bad("chorale.policy.merged-price", "Infinity", "= Infinity: must be between 0 and 1000000000"),
            bad("chorale.policy.quantum", "-4096", "= -4096.0: must be between 0 and 1000000000"),
            bad("chorale.policy.cluster-adapters", "0", "= 0: must be between 1 and 65536"),
            bad("chorale.policy.patience", "0S", "must be longer than nothing"),
            bad("chorale.policy.prefill-estimate", "-5S", "must be longer than nothing"),
            bad("chorale.policy.admit-every-steps", "0", "= 0: must be between 1 and 1000"),
            bad("chorale.policy.merge-patience", "0S", "must be longer than nothing"),
            bad("chorale.policy.shadow-pages", "-1", "= -1: must be between 0 and 2147483647"),
            bad("chorale.policy.merge-speed-ratio", "0", "= 0.0: must be above 0"),
            bad("chorale.scheduler.sequences-max", "0", "= 0: must be between 1 and 65536"),
            bad("chorale.scheduler.bypass-max", "-1", "= -1: must be between 0 and 1048576"),
            bad("chorale.admission.requests-max", "0", "= 0: must be between 1 and 16777216"),
            bad("chorale.admission.queue-tokens-max", "-3", "= -3: must be at least 1"),
            bad("chorale.tenants.acme.weight", "-1", "= -1.0: must be above 0 and at most 1000000000"),
            bad("chorale.tenants.acme.queue-share", "1.5", "= 1.5: must be above 0 and at most 1"),
            bad("chorale.tenants.acme.requests-per-second", "0", "= 0.0: must be above 0"),
            bad("chorale.tenants.acme.concurrency-max", "0", "= 0: must be between 1 and"),
            bad("chorale.objectives.high.ttft", "0S", "must be longer than nothing"),
            bad("chorale.objectives.low.ttft-max", "10MS", "must not be less than ttft-min"),
            bad("chorale.keys.ops.key", " ", "= ...: a key must not be blank"),
            bad("chorale.adapters.resident-max", "0", "= 0: must be between 1 and 65536"),
            bad("chorale.adapters.host-bytes", "9999999Y", "bytes"),
            bad("chorale.adapters.head-bytes-max", "99E", "must be between 0 and 9223372036854775807 bytes"),
            bad("chorale.adapters.dummy.ranks", "8,0", "= 0: must be between 1 and 65536"),
            bad("chorale.adapters.dummy.targets", "q_proj,x_proj", "= x_proj: must be one of q_proj, k_proj"),
            bad("chorale.model.dir", "/nowhere", "= /nowhere: is not a folder"),
            bad("chorale.sources.hub", "hub", "= hub: must be an address such as https://"),
            bad("chorale.sources.allowed", "ftp://x/", "= ftp://x/: must begin with hf://, https://"),
            bad("chorale.engine.shards", "0", "= 0: must be between 1 and 16"),
            bad("chorale.engine.simulated.stop-probability", "2", "= 2.0: must be between 0 and 1"),
            bad("chorale.stream.stall-max", "0S", "must be longer than nothing"),
            bad("chorale.stream.keep-alive", "0S", "must be longer than nothing"),
            bad("chorale.lifecycle.stuck-after", "-1S", "must be longer than nothing"),
            bad("chorale.polciy.order", "fair", "there is no such setting", "policy"));

    private String unreadable = "";
    private String impossible = "";

    @BeforeAll
    void start() throws Exception {
        unreadable = refused("bad-settings-unreadable", UNREADABLE);
        impossible = refused("bad-settings-impossible", IMPOSSIBLE);
    }

    /** What a server says that is to start with all of them. */
    private static String refused(String name, List<Bad> settings) throws Exception {
        String[] all = settings.stream().map(Bad::toString).toArray(String[]::new);
        try (Server server = Server.start(name, all)) {
            assertEquals(1, server.awaitExit(END_MAX), "the exit status");
            return server.log();
        }
    }

    @ParameterizedTest
    @FieldSource("UNREADABLE")
    void shouldSayWhatCannotBeRead(Bad bad) {
        assertTold(unreadable, bad);
    }

    @ParameterizedTest
    @FieldSource("IMPOSSIBLE")
    void shouldSayWhatCannotBe(Bad bad) {
        assertTold(impossible, bad);
    }

    /** One of many is enough. */
    @Test
    void shouldStopForASingleOne() throws Exception {
        String said = refused("bad-settings-single", List.of(bad("chorale.objectives.normal.ttft", "0S")));
        assertTold(said, bad("chorale.objectives.normal.ttft", "0S", "must be longer than nothing"));
        assertEquals(1, said.lines().filter(line -> line.contains("chorale.")).count(), said);
    }

    /** A source takes the folder's place, so it is tried apart. */
    @Test
    void shouldSayWhatSourceOfTheModelCannotBe() throws Exception {
        String key = "chorale.model.source";
        String none = refused("bad-settings-source", List.of(bad(key, "org/model")));
        assertTold(none, bad(key, "org/model", "= org/model: must be hf://ORG/NAME or", "https://HOST/PATH/"));
        assertTold(none, bad(key, "org/model", "needs chorale.adapters.state-dir"));
        Bad digest = bad("chorale.model.sha256", "12", "= 12: must be the SHA-256 of the folder's file SHA256SUMS");
        assertTold(refused("bad-settings-digest", List.of(bad(key, "s3://bucket/model/"), digest)), digest);
    }

    private static void assertTold(String log, Bad bad) {
        String name = bad.key().startsWith("chorale.objectives.urgent") ? "chorale.objectives.urgent" : bad.key();
        Stream<String> lines = log.lines().filter(line -> line.contains(name));
        assertTrue(lines.anyMatch(line -> Arrays.stream(bad.said()).allMatch(line::contains)), () -> bad + ": " + log);
        assertFalse(log.contains("\tat "), "a stack trace tells an operator nothing: " + log);
    }
}
