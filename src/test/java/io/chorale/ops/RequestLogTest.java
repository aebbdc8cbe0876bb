package io.chorale.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.chorale.serving.RequestReport;
import org.junit.jupiter.api.Test;

class RequestLogTest {
    @Test
    void shouldSayEverythingInOneLine() {
        RequestReport report = new RequestReport(
                "abc",
                "/v1/completions",
                "pirate",
                true,
                200,
                "stop",
                2,
                7,
                31,
                12_340_000,
                2_000_000,
                3_460_000,
                99_990_000);
        assertEquals(
                "id=abc endpoint=/v1/completions model=pirate stream=true status=200 outcome=stop choices=2"
                        + " prompt_tokens=7 answer_tokens=31 queue_ms=12.3 adapter_ms=2.0 prefill_ms=3.5 decode_ms=100.0",
                RequestLog.line(report));
        assertEquals(115_790_000, report.totalNanos());
    }
}
