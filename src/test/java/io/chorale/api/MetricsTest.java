package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.ops.Metric;
import io.quarkus.test.junit.QuarkusTest;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** What Prometheus reads is what the documentation says. */
@QuarkusTest
class MetricsTest {
    @Test
    void shouldExportExactlyTheDocumentedMetrics() {
        given().contentType(ContentType.JSON)
                .body("{\"model\":\"pirate\",\"prompt\":[1,4],\"max_tokens\":5,\"temperature\":0}")
                .post("/v1/completions")
                .then()
                .statusCode(200);
        List<String> lines = RestAssured.get("/q/metrics").asString().lines().toList();
        Set<String> families = lines.stream()
                .filter(line -> line.startsWith("chorale_"))
                .map(line -> line.split("[ {]")[0].replaceFirst("_(bucket|count|sum|max)$", ""))
                .collect(Collectors.toSet());
        for (Metric metric : Metric.values()) {
            assertTrue(families.contains(metric.prometheusName()), metric.prometheusName() + " is not exported");
            families.remove(metric.prometheusName());
        }
        assertEquals(Set.of(), families, "exported but not documented");
        assertTrue(lines.stream().noneMatch(line -> line.startsWith("chorale_") && line.contains("pirate")));
        assertTrue(value(lines, "chorale_requests_total{outcome=\"length\"}")
                        + value(lines, "chorale_requests_total{outcome=\"stop\"}")
                >= 1);
        assertTrue(value(lines, "chorale_ttft_seconds_count") >= 1);
        assertTrue(value(lines, "chorale_adapter_loads_total") >= 1);
    }

    private static double value(List<String> lines, String name) {
        return lines.stream()
                .filter(line -> line.startsWith(name + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(name.length() + 1)))
                .sum();
    }
}
