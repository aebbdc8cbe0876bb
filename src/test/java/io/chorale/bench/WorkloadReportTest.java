package io.chorale.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is refused or late counts against the server. */
class WorkloadReportTest {
    private static final long START = 1_000_000_000L;

    private final Workload workload = SLoraGenerator.of(10, 1, 10, 1, 10, 8).draw();

    @TempDir
    Path folder;

    /** A first token after {@code ttftSeconds}, another each 10 ms. */
    private TimedStream answer(int i, double ttftSeconds) {
        long first = START + workload.nanos(i) + (long) (ttftSeconds * 1e9);
        long[] events = new long[workload.answerTokens(i)];
        for (int token = 0; token < events.length; token++) {
            events[token] = first + token * 10_000_000L;
        }
        return new TimedStream(200, events.length, events, "");
    }

    private ToDoubleFunction<String> report(List<TimedStream> streams) throws IOException {
        Path file = folder.resolve("history.ndjson");
        RunningServer.Metrics before = new RunningServer.Metrics(
                0,
                List.of(
                        "chorale_step_seconds_sum{phase=\"total\"} 1.0",
                        "chorale_step_seconds_count{phase=\"total\"} 10"));
        RunningServer.Metrics after = new RunningServer.Metrics(
                20_000_000_000L,
                List.of(
                        "chorale_step_seconds_sum{phase=\"total\"} 19.0",
                        "chorale_step_seconds_count{phase=\"total\"} 910"));
        new WorkloadReport(workload, streams, START, 6, before, after).write(new History(file, "test"));
        Map<String, Double> medians = new TreeMap<>();
        for (String line : Files.readAllLines(file)) {
            JsonNode read = new ObjectMapper().readTree(line);
            medians.put(read.get("benchmark").asText(), read.get("median").asDouble());
        }
        return name -> medians.getOrDefault(name, Double.NaN);
    }

    @Test
    void shouldCountByTheDefinitionsOfThePaper() throws Exception {
        List<TimedStream> streams = new ArrayList<>();
        for (int i = 0; i < workload.size(); i++) {
            streams.add(i < 5 ? new TimedStream(503, 0, new long[0], "status 503") : answer(i, i < 10 ? 7 : 0.5));
        }
        ToDoubleFunction<String> lines = report(streams);
        assertEquals(0.9, lines.applyAsDouble("workload-attainment"), 1e-9, "five refused, five late, of 100");
        assertEquals(0.9, lines.applyAsDouble("workload-engine-share"), 1e-3, "18 of 20 seconds");
        assertEquals(7, lines.applyAsDouble("workload-ttft-p99"), 1e-3);
        assertEquals(10, lines.applyAsDouble("workload-itl-p99"), 1e-3);
        double last = 0;
        for (int i = 5; i < workload.size(); i++) {
            long[] events = streams.get(i).eventNanos();
            last = Math.max(last, (events[events.length - 1] - START) / 1e9);
        }
        assertEquals(95 / last, lines.applyAsDouble("workload-finished"), 1e-3);
        assertEquals(100 / workload.lastSeconds(), lines.applyAsDouble("workload-arriving"), 1e-3);
    }

    @Test
    void shouldNotReportARunInWhichNothingWasFinished() {
        List<TimedStream> none = new ArrayList<>();
        for (int i = 0; i < workload.size(); i++) {
            none.add(new TimedStream(404, 0, new long[0], "no such model"));
        }
        IOException refused = assertThrows(IOException.class, () -> report(none));
        assertTrue(String.valueOf(refused.getMessage()).contains("no such model"));
    }

    @Test
    void shouldTellWhatAnOptionLacks() {
        assertSays("--rate needs a value", "--rate");
        assertSays("--rate much: is not a number", "--rate", "much");
        assertSays("does not know '--speed'", "--speed", "2");
        assertSays("must be http://HOST:PORT", "--url", "localhost:8080");
        WorkloadOptions options = WorkloadOptions.of(List.of("--ranks", "8,64", "--adapters", "5", "--cv", "2"));
        assertEquals(2, options.ranks().length);
        assertEquals(List.of(5, 2.0, 10.0), List.of(options.adapters(), options.variation(), options.rate()));
    }

    private static void assertSays(String sentence, String... arguments) {
        IllegalArgumentException wrong =
                assertThrows(IllegalArgumentException.class, () -> WorkloadOptions.of(List.of(arguments)));
        assertTrue(String.valueOf(wrong.getMessage()).contains(sentence), wrong.getMessage());
    }
}
