package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.ops.Metric;
import io.quarkus.test.junit.QuarkusTest;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
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
            // A machine without a GPU has nothing to say of one; DeviceMetricsTest looks at those.
            assertTrue(
                    families.contains(metric.prometheusName()) || "device".equals(metric.label()),
                    metric.prometheusName() + " is not exported");
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

    /** What gateways choose by is there under the names that they know, and says the same. */
    @Test
    void shouldSpeakVllm() {
        given().contentType(ContentType.JSON)
                .body("{\"model\":\"pirate\",\"prompt\":[1,4],\"max_tokens\":5,\"temperature\":0,\"ignore_eos\":true}")
                .post("/v1/completions")
                .then()
                .statusCode(200);
        String model = "{model_name=\"fable\",engine=\"0\"";
        Response response = RestAssured.get("/metrics");
        // The last step is published a moment after its answer.
        for (int i = 0; i < 100 && !response.asString().contains("vllm:num_requests_running" + model + "} 0\n"); i++) {
            response = RestAssured.get("/metrics");
        }
        assertTrue(response.contentType().startsWith("text/plain"));
        // The older text form ends a list of labels with a comma.
        List<String> lines = response.asString().replace(",}", "}").lines().toList();
        for (String gauge : List.of("num_requests_waiting", "kv_cache_usage_perc")) {
            assertEquals(0, value(lines, "vllm:" + gauge + model + "}"), gauge);
        }
        assertEquals(1, value(lines, "vllm:cache_config_info" + model + ",block_size=\"64\",num_gpu_blocks=\"1024\"}"));
        // Other tests of the same server have left their adapters on the device.
        long resident = lines.stream()
                .filter(line -> line.startsWith("vllm:lora_adapter_loaded" + model) && line.contains("level=\"gpu\""))
                .count();
        assertEquals(resident, value(lines, "vllm:num_gpu_loaded_lora_adapters" + model + "}"));
        assertEquals(
                1,
                value(
                        lines,
                        "vllm:lora_adapter_loaded" + model
                                + ",adapter_name=\"pirate\",level=\"gpu\",pinned=\"false\",rank=\"16\"}"));
        String requests = lines.stream()
                .filter(line -> line.startsWith("vllm:lora_requests_info{"))
                .findFirst()
                .orElseThrow();
        assertTrue(
                requests.matches("[^ ]*max_lora=\"256\",running_lora_adapters=\"[^\"]*\\bpirate\\b[^\"]*\","
                        + "waiting_lora_adapters=\"\"} .*"),
                requests);
        double time = Double.parseDouble(requests.substring(requests.lastIndexOf(' ')));
        assertEquals(System.currentTimeMillis() / 1e3, time, 60);
        double answered = value(lines, "chorale_requests_total{outcome=\"length\"}")
                + value(lines, "chorale_requests_total{outcome=\"stop\"}");
        assertEquals(
                answered,
                value(lines, "vllm:request_success_total" + model + ",finished_reason=\"length\"}")
                        + value(lines, "vllm:request_success_total" + model + ",finished_reason=\"stop\"}"));
        assertEquals(
                value(lines, "chorale_tokens_total{kind=\"answer\"}"),
                value(lines, "vllm:generation_tokens_total" + model + "}"));
        assertEquals(
                value(lines, "chorale_tokens_total{kind=\"prompt\"}"),
                value(lines, "vllm:prompt_tokens_total" + model + "}"));
        for (String histogram : List.of(
                "time_to_first_token_seconds",
                "inter_token_latency_seconds",
                "e2e_request_latency_seconds",
                "request_queue_time_seconds",
                "request_prefill_time_seconds",
                "request_decode_time_seconds",
                "lora_adapter_load_seconds")) {
            double count = value(lines, "vllm:" + histogram + "_count" + model + "}");
            assertTrue(count >= 1, histogram);
            assertEquals(count, value(lines, "vllm:" + histogram + "_bucket" + model + ",le=\"+Inf\"}"), histogram);
            List<Double> buckets = lines.stream()
                    .filter(line -> line.startsWith("vllm:" + histogram + "_bucket{"))
                    .map(line -> Double.parseDouble(line.substring(line.lastIndexOf(' '))))
                    .toList();
            assertEquals(buckets.stream().sorted().toList(), buckets, histogram + " is cumulative");
        }
        assertEquals(
                value(lines, "chorale_ttft_seconds_bucket{le=\"0.5\"}"),
                value(lines, "vllm:time_to_first_token_seconds_bucket" + model + ",le=\"0.5\"}"));
    }

    private static double value(List<String> lines, String name) {
        return lines.stream()
                .filter(line -> line.startsWith(name + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(name.length() + 1)))
                .sum();
    }
}
