package io.chorale.k8s;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.chorale.ops.Metric;
import io.chorale.testing.Command;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Rules, dashboard and autoscalers ask for metrics that there are, and every rule says what it should. */
class RulesTest {
    private static final Path FOLDER = Path.of("target/k8s/rules");
    private static final Path TESTS = Path.of("src/test/k8s/rules-test.yaml");
    private static final Pattern OURS = Pattern.compile("\\b((?:pod|namespace):)?chorale_[a-z_]+(?::[a-z0-9_]+)?");
    private static final long SECONDS_MAX = 120;

    @SuppressWarnings("NullAway.Init") // set before all tests
    private static JsonNode groups;

    @BeforeAll
    static void writeRules() throws IOException {
        ObjectNode spec =
                (ObjectNode) Manifests.ofOverlay("cpu").only("PrometheusRule").path("spec");
        groups = spec.path("groups");
        write("rules.yaml", spec);
    }

    private static void write(String name, ObjectNode rules) throws IOException {
        Files.createDirectories(FOLDER);
        Manifests.YAML.writeValue(FOLDER.resolve(name).toFile(), rules);
    }

    @Test
    void shouldSayWhatTheirTestsSay() throws IOException {
        Files.copy(TESTS, FOLDER.resolve(TESTS.getFileName()), StandardCopyOption.REPLACE_EXISTING);
        promtool("check", "rules", "--lint-fatal", FOLDER.resolve("rules.yaml").toString());
        promtool("test", "rules", FOLDER.resolve(TESTS.getFileName()).toString());
    }

    /** Each rule is asked at least once when it must speak. */
    @Test
    void shouldAllBeTested() throws IOException {
        Set<String> expected = new TreeSet<>();
        groups.forEach(group -> group.path("rules")
                .forEach(rule -> expected.add(
                        rule.path("record").asText(rule.path("alert").asText()))));
        Set<String> tested = new TreeSet<>();
        for (JsonNode test : Manifests.YAML.readTree(TESTS.toFile()).path("tests")) {
            test.path("promql_expr_test").forEach(one -> {
                if (!one.path("exp_samples").isEmpty()) {
                    tested.add(one.path("expr").asText());
                }
            });
            test.path("alert_rule_test").forEach(one -> {
                if (!one.path("exp_alerts").isEmpty()) {
                    tested.add(one.path("alertname").asText());
                }
            });
        }
        assertEquals(expected, tested);
    }

    @Test
    void shouldReadOnlyMetricsThatThereAre() throws IOException {
        Set<String> there = Arrays.stream(Metric.values())
                .flatMap(metric -> namesOf(metric).stream())
                .collect(Collectors.toCollection(TreeSet::new));
        groups.forEach(group -> group.path("rules")
                .forEach(rule -> there.add(rule.path("record").asText())));
        StringBuilder asked = new StringBuilder();
        groups.forEach(group -> group.path("rules")
                .forEach(rule -> asked.append(rule.path("expr").asText()).append('\n')));
        dashboardExpressions().forEach(expression -> asked.append(expression).append('\n'));
        Manifests.ofOverlay("gpu-keda")
                .only("ScaledObject")
                .at("/spec/triggers")
                .forEach(trigger ->
                        asked.append(trigger.at("/metadata/query").asText()).append('\n'));
        Set<String> missing = new TreeSet<>();
        Matcher name = OURS.matcher(asked);
        int found = 0;
        while (name.find()) {
            found++;
            if (!there.contains(name.group())) {
                missing.add(name.group());
            }
        }
        assertTrue(found > 40, "the expressions name metrics");
        assertEquals(Set.of(), missing);
    }

    private static List<String> namesOf(Metric metric) {
        String name = metric.prometheusName();
        return switch (metric.kind()) {
            case COUNTER, GAUGE -> List.of(name);
            case TIMER, SUMMARY -> List.of(name + "_bucket", name + "_sum", name + "_count");
        };
    }

    /** A comparison with a bucket that does not exist is never true, and nobody says so. */
    @Test
    void shouldUseBucketsThatThereAre() throws IOException {
        String source = Files.readString(Path.of("src/main/java/io/chorale/ops/ServingMetrics.java"));
        Matcher bounds =
                Pattern.compile("LATENCIES =\\s+millis\\(([0-9_, ]+)\\)").matcher(source);
        assertTrue(bounds.find());
        Set<Double> seconds = Arrays.stream(bounds.group(1).replace("_", "").split(", *"))
                .map(millis -> Double.parseDouble(millis) / 1000)
                .collect(Collectors.toSet());
        Matcher asked = Pattern.compile("chorale_ttft_seconds_bucket\\{le=\"([0-9.]+)\"")
                .matcher(groups.toString().replace("\\\"", "\""));
        assertTrue(asked.find());
        assertTrue(seconds.contains(Double.parseDouble(asked.group(1))), asked.group());
    }

    /** Prometheus itself reads what the dashboard asks. */
    @Test
    void shouldParseTheDashboard() throws IOException {
        ObjectMapper json = new ObjectMapper();
        ArrayNode rules = json.createArrayNode();
        List<String> expressions = dashboardExpressions();
        assertTrue(expressions.size() > 20);
        for (String expression : expressions) {
            String plain = expression.replace("$__rate_interval", "1m");
            rules.addObject().put("record", "dashboard:panel" + rules.size()).put("expr", plain);
        }
        ObjectNode file = json.createObjectNode();
        file.putArray("groups").addObject().put("name", "dashboard").set("rules", rules);
        write("dashboard.yaml", file);
        promtool("check", "rules", FOLDER.resolve("dashboard.yaml").toString());
    }

    private static List<String> dashboardExpressions() throws IOException {
        JsonNode dashboard = Manifests.ofOverlay("cpu")
                .ofKind("ConfigMap")
                .map(map -> map.at("/data/dashboard.json"))
                .filter(JsonNode::isTextual)
                .findFirst()
                .orElseThrow();
        return new ObjectMapper().readTree(dashboard.asText()).findValuesAsText("expr");
    }

    /** Each alert leads to a section of the runbook, by the anchor that a forge makes of its heading. */
    @Test
    void shouldLeadToTheRunbook() throws IOException {
        String runbook = Files.readString(Path.of("docs/OPERATIONS.md"));
        groups.forEach(group -> group.path("rules").forEach(rule -> {
            if (rule.has("alert")) {
                String name = rule.path("alert").asText();
                assertEquals(
                        "docs/OPERATIONS.md#" + name.toLowerCase(Locale.ROOT),
                        rule.at("/annotations/runbook").asText());
                assertTrue(runbook.contains("\n### " + name + "\n"), "docs/OPERATIONS.md has no section " + name);
            }
        }));
    }

    /** prometheus-adapter serves, under the names that the autoscaler asks for, what the rules record. */
    @Test
    void shouldServeTheAutoscalersMetrics() throws IOException {
        JsonNode rule = Manifests.YAML
                .readTree(Manifests.FOLDER
                        .resolve("components/autoscaling-hpa/values.yaml")
                        .toFile())
                .at("/rules/custom/0");
        Pattern series = Pattern.compile(rule.path("seriesQuery").asText().replaceAll(".*=~\"\\^(.*)\\$\".*", "$1"));
        Set<String> served = new TreeSet<>();
        groups.forEach(group -> group.path("rules").forEach(one -> {
            String record = one.path("record").asText();
            if (series.matcher(record).matches()) {
                served.add(record.replaceFirst(
                        rule.at("/name/matches").asText(),
                        rule.at("/name/as").asText().replace("${1}", "$1")));
            }
        }));
        Set<String> wanted = new TreeSet<>();
        Manifests.ofOverlay("gpu-hpa")
                .only("HorizontalPodAutoscaler")
                .at("/spec/metrics")
                .forEach(metric -> wanted.add(metric.at("/pods/metric/name").asText()));
        assertEquals(wanted, served);
    }

    private static void promtool(String... arguments) throws IOException {
        List<String> command = new java.util.ArrayList<>(List.of("promtool"));
        command.addAll(List.of(arguments));
        Command.Result result = Command.run(SECONDS_MAX, command);
        assertEquals(0, result.status(), () -> command + ": " + result.output() + result.errors());
    }
}
