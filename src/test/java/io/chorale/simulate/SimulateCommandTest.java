package io.chorale.simulate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.policy.StepCostModel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code ./chorale simulate} as a user meets it. */
class SimulateCommandTest {
    @TempDir
    Path folder;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    private int run(String... arguments) {
        out.reset();
        err.reset();
        return SimulateCommand.run(
                List.of(arguments),
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8));
    }

    private String out() {
        return out.toString(StandardCharsets.UTF_8);
    }

    private String err() {
        return err.toString(StandardCharsets.UTF_8);
    }

    @Test
    void printsFiguresAndWritesAReportThatNeedsNothingElse() throws IOException {
        Path report = folder.resolve("report.html");
        int status = run(
                "--rate",
                "5",
                "--seconds",
                "10",
                "--policy",
                "fcfs",
                "--policy",
                "fcfs,prefetch=off",
                "--tenants",
                "3",
                "--html",
                report.toString());
        assertEquals(0, status, err());
        assertTrue(
                out().contains("seed 42") && out().contains("attainment") && out().contains("fcfs,prefetch=off"),
                out());
        String html = Files.readString(report);
        assertTrue(html.contains("Time to first token") && html.contains("Pages by use"));
        assertTrue(html.contains("Attainment over time") && html.contains("Service by tenant"));
        assertFalse(html.contains("http://") || html.contains("https://") || html.contains("NaN"), "self-contained");
        assertEquals(count(html, "<svg"), count(html, "</svg>"));
    }

    private static int count(String text, String part) {
        return text.split(part, -1).length - 1;
    }

    @Test
    void helpsWithEveryFlag() {
        assertEquals(0, run("--help"));
        for (String flag : SimulateCommand.flagNames()) {
            assertTrue(out().contains("--" + flag), flag + " is not in the help");
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--rats 5|there is no flag '--rats'",
                "rate|there is no flag 'rate'",
                "--rate|--rate needs a value",
                "--rate fast|--rate fast: not a number",
                "--rate -1|--rate -1: must be between 0.001 and 1M",
                "--rate 1 --rate 2|--rate is given twice",
                "--adapters 1.5|--adapters 1.5: must be a whole number",
                "--ranks 8,x|--ranks: 'x' is not a whole number",
                "--prompt 9|--prompt 9: must be FROM:TO",
                "--prompt 9:3|--prompt 9:3: must be FROM:TO",
                "--workload other|--workload other: it can be slora or dlora",
                "--policy best|policy 'best' is not known; it can be chorale, slora, dlora, fcfs",
                "--policy fcfs,color=red|a policy has no part 'color'",
                "--policy fcfs,order=last|order 'last' is not known; it can be arrival",
                "--policy fcfs,prefetch=maybe|prefetch is on or off",
                "--dispatcher random|--dispatcher 'random' is not known; it can be round-robin, least-load",
                "--device tpu|device 'tpu' is neither a file nor one of",
                "--trace nowhere.csv|there is no file nowhere.csv",
                "--slo-ttft 0|--slo-ttft 0: must be between",
                "--trace nowhere.csv --rate 5|--rate has no effect with --trace",
                "--workload dlora --prompt 8:16|--prompt has no effect with --workload dlora",
                "--top-share 0.9|--top-share has no effect with --workload slora",
                "--html nowhere/report.html|--html nowhere/report.html cannot be written",
            })
    void saysWhatIsWrong(String line, String expected) {
        assertEquals(2, run(line.split(" ")));
        assertTrue(err().startsWith("error: ") && err().contains(expected), err());
    }

    @Test
    void readsItsOwnCalibrationFile() throws IOException {
        assertEquals(0, run("--print-device", "h100-8b"));
        Path file = folder.resolve("mine.properties");
        String whole = out();
        Files.writeString(file, whole);
        assertEquals(DeviceFile.write(DeviceProfiles.H100_8B), DeviceFile.write(DeviceFile.read(file)));
        assertEquals(0, run("--device", file.toString(), "--rate", "2", "--seconds", "5"), err());

        Files.writeString(file, whole.replaceAll("(host.request-ms|upload.each-us) = 0\n", ""));
        assertFalse(Files.readString(file).contains("host.request-ms"));
        assertEquals(whole, DeviceFile.write(DeviceFile.read(file)), "a file of an earlier version");
        Files.writeString(file, whole.replace("host.request-ms = 0", "host.request-ms = -1"));
        assertEquals(2, run("--device", file.toString()));
        assertTrue(err().contains("host.request-ms = -1 must be between 0 and"), err());

        String tiled = DeviceFile.write(DeviceProfiles.SLORA_A100_7B);
        Files.writeString(file, tiled);
        assertEquals(tiled, DeviceFile.write(DeviceFile.read(file)));
        Files.writeString(file, tiled.replace("32,200,64,2", "32,200,64"));
        assertEquals(2, run("--device", file.toString()));
        assertTrue(err().contains("adapters.prompt-tiles = 32,200,64 must be TILE,LONGEST,RANK,SEQUENCES"), err());

        Files.writeString(file, whole);
        Files.writeString(file, Files.readString(file).replace("pool.pages = ", "pool.pages = -"));
        assertEquals(2, run("--device", file.toString()));
        assertTrue(err().contains("pool.pages = -28000 must be between 1 and"), err());

        Files.writeString(file, "name = x\n");
        assertEquals(2, run("--device", file.toString()));
        assertTrue(err().contains("step.rows-ms is missing"), err());
    }

    @Test
    void takesCostsAsAServerKeepsThem() throws IOException {
        Path file = folder.resolve("costs.json");
        String learned = Calibration.json(StepCostModel.Linear.LARGE_GPU).toString();
        Files.writeString(file, learned);
        assertEquals(StepCostModel.Linear.LARGE_GPU, Calibration.read(file));
        assertEquals(0, run("--costs", file.toString(), "--rate", "2", "--seconds", "5"), err());
        assertTrue(out().contains("h100-8b with costs.json (a calibration; what it holds: docs/KERNELS.md)"), out());

        Files.writeString(file, learned.replace("\"rowNanos\":15000", "\"rowNanos\":\"fast\""));
        assertEquals(2, run("--costs", file.toString()));
        assertTrue(err().contains("costs.json: 'rowNanos' must be a number of nanoseconds"), err());

        Files.writeString(file, "not JSON");
        assertEquals(2, run("--costs", file.toString()));
        assertTrue(err().contains("costs.json: is not JSON"), err());
        assertEquals(2, run("--costs", folder.resolve("nowhere").toString()));
        assertTrue(err().contains("there is no file"), err());
    }

    @Test
    void playsATrace() throws IOException {
        Path trace = folder.resolve("trace.csv");
        Files.writeString(trace, """
                TIMESTAMP,ContextTokens,GeneratedTokens
                2023-11-16 18:15:46.6805900,374,44
                2023-11-16 18:15:50.9951690,396,109
                """);
        assertEquals(0, run("--trace", trace.toString(), "--policy", "fcfs"), err());
        assertTrue(out().contains("2 requests, 770 prompt and 153 answer tokens"), out());
    }
}
