package io.chorale.simulate;

import io.chorale.core.policy.PolicySettings;
import io.chorale.simulate.Flags.FlagException;
import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.DLoraGenerator;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.TraceFile;
import io.chorale.workload.Workload;
import java.io.Console;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** {@code ./chorale simulate}: plays a workload on simulated servers and says how it went. */
public final class SimulateCommand {
    private static final String HELP = """
            Usage: ./chorale simulate [FLAG VALUE ...]

            Plays a workload on simulated servers in virtual time, with the server's own scheduler, and prints how it went.

            What comes
              --workload slora|dlora  whose generator (slora)
              --trace FILE            times and lengths of a public trace instead: Azure's CSV or Mooncake's JSON lines
              --trace-speed X         times as fast as recorded (1)
              --adapters N            that requests ask for; 0: only the base model (200)
              --ranks R,R,...         dealt to adapters in turn (64,32,16,8)
              --alpha A               S-LoRA's skew: 1 is uniform, 0.1 very skewed (1)
              --top-share S           dLoRA's skew: share of the most popular adapter (0.5)
              --rate R                requests a second (10)
              --cv C                  burstiness: 1 is Poisson (1)
              --seconds S             how long requests come (120; of a trace: all of it)
              --prompt FROM:TO        tokens of prompts, TO left out (8:512)
              --answer FROM:TO        tokens of answers, TO left out (8:512)
              --tenants N             adapters are dealt to tenants in turn (1)
              --seed N                of the workload and of clients' jitter (42)
              --retries N             tries again of a client that was refused, as the OpenAI SDKs (2)
            On what
              --device NAME|FILE      %s, or a calibration file (h100-8b)
              --print-device NAME     prints a device as a calibration file, and ends
              --costs FILE            what steps take, as a server keeps it (chorale.scheduler.cost-profile), instead
                                      of the device's
              --pages N               of the pool, instead of the device's
              --sequences N           that run at once, instead of the device's
              --replicas N            servers (1)
              --dispatcher NAME       %s (round-robin)
              --queue N               requests that may wait at a server (768)
              --tenant-share S        of a server's places that one tenant may have (1)
              --adapters-per-step N   distinct adapters of the running requests (64)
            How
              --policy TEXT           %s, with parts changed: slora,order=newest (chorale)
                                      Given several times, each is played. Parts: %s
            Judged by
              --slo-ttft S            seconds to the first token (6)
              --slo-tpot S            seconds between tokens, mean of an answer (0.5)
              --html FILE             a report with plots, one self-contained page
            """.formatted(
                    DeviceProfiles.ALL.stream().map(DeviceProfile::name).collect(Collectors.joining(", ")),
                    names(Dispatcher.values()),
                    names(PolicySettings.Preset.values()),
                    PolicyText.KEYS);

    private static final Set<String> FLAGS = Set.of(
            "workload",
            "trace",
            "trace-speed",
            "adapters",
            "ranks",
            "alpha",
            "top-share",
            "rate",
            "cv",
            "seconds",
            "prompt",
            "answer",
            "tenants",
            "seed",
            "retries",
            "device",
            "print-device",
            "costs",
            "pages",
            "sequences",
            "replicas",
            "dispatcher",
            "queue",
            "tenant-share",
            "adapters-per-step",
            "policy",
            "slo-ttft",
            "slo-tpot",
            "html");

    /** What a workload does not take from the flags: it would be played as if they were not there. */
    private static final Map<String, List<String>> UNUSED = Map.of(
            "--trace", List.of("workload", "rate", "cv", "prompt", "answer", "top-share"),
            "--workload slora", List.of("top-share", "trace-speed"),
            "--workload dlora", List.of("alpha", "cv", "prompt", "answer", "trace-speed"));

    private final Flags flags;
    private final PrintStream out;
    private final PrintStream err;

    private SimulateCommand(Flags flags, PrintStream out, PrintStream err) {
        this.flags = flags;
        this.out = out;
        this.err = err;
    }

    public static void main(String[] arguments) {
        System.exit(run(List.of(arguments), System.out, System.err));
    }

    /** Returns the exit status: 0, or 2 when the arguments are wrong. */
    static int run(List<String> arguments, PrintStream out, PrintStream err) {
        if (arguments.contains("--help") || arguments.contains("-h")) {
            out.print(HELP);
            return 0;
        }
        try {
            new SimulateCommand(new Flags(arguments, FLAGS), out, err)
                    .play("./chorale simulate " + String.join(" ", arguments));
            return 0;
        } catch (NoSuchFileException missing) {
            err.println("error: there is no file " + missing.getFile());
        } catch (FileSystemException unreadable) {
            err.println("error: " + unreadable.getFile() + " cannot be read or written: " + unreadable.getReason());
        } catch (IllegalArgumentException | IOException wrong) {
            err.println("error: " + wrong.getMessage());
        } catch (OutOfMemoryError full) {
            err.println(
                    "error: so many requests and servers take more memory than there is; CHORALE_HEAP=8g gives more");
        }
        return 2;
    }

    static Set<String> flagNames() {
        return FLAGS;
    }

    private static String names(Enum<?>[] choices) {
        return List.of(choices).stream().map(PolicySettings::nameOf).collect(Collectors.joining(", "));
    }

    private void play(String command) throws IOException {
        if (flags.has("print-device")) {
            out.print(DeviceFile.write(device(flags.text("print-device", ""))));
            return;
        }
        checkReport();
        List<String> policies = flags.has("policy") ? flags.all("policy") : List.of("chorale");
        List<SimulationSettings> all = new ArrayList<>();
        for (String policy : policies) {
            all.add(settings(policy));
        }
        Workload workload = workload();
        if (workload.size() == 0) {
            throw new IllegalArgumentException("the workload has no requests");
        }
        out.printf(Locale.ROOT, "workload  %s%n", workload.name());
        out.printf(
                Locale.ROOT,
                "          %,d requests, %,d prompt and %,d answer tokens, the last comes after %.1f s%s%n",
                workload.size(),
                workload.promptTokensSum(),
                workload.answerTokensSum(),
                workload.lastSeconds(),
                workload.lastSeconds() == 0
                        ? ""
                        : String.format(Locale.ROOT, " (%.2f a second)", workload.size() / workload.lastSeconds()));
        SimulationSettings first = all.getFirst();
        out.printf(
                Locale.ROOT,
                "servers   %d x %s (%s), %s; seed %d%n%n",
                first.replicas(),
                first.device().name(),
                first.device().source(),
                first.dispatcher().flag(),
                first.seed());
        List<SimulationResult> results = new ArrayList<>();
        for (SimulationSettings settings : all) {
            results.add(new Simulation(settings, workload).run(new ProgressLine(err, settings.policyName())));
        }
        out.print(ResultTable.text(results));
        if (flags.has("html")) {
            Path file = Path.of(flags.text("html", ""));
            Files.writeString(file, HtmlReport.of(results, command), StandardCharsets.UTF_8);
            out.println("\nreport    " + file);
        }
    }

    /** A run may take long: that its report cannot be written is said before. */
    private void checkReport() {
        if (!flags.has("html")) {
            return;
        }
        Path file = Path.of(flags.text("html", ""));
        Path folder = file.toAbsolutePath().getParent();
        if (folder == null || !Files.isWritable(folder) || Files.isDirectory(file)) {
            throw new FlagException(
                    "--html " + file + " cannot be written: it must be a file in a folder that is there");
        }
    }

    private SimulationSettings settings(String policy) throws IOException {
        DeviceProfile device = device(flags.text("device", "h100-8b"));
        if (flags.has("costs")) {
            Path learned = Path.of(flags.text("costs", ""));
            device = Calibration.device(
                    device.name() + " with " + learned.getFileName(), device, Calibration.read(learned), ranks());
        }
        device = device.withPages(flags.whole("pages", device.pages(), 1, 1 << 24));
        device = device.withSequencesMax(flags.whole("sequences", device.sequencesMax(), 1, device.stepTokensMax()));
        Batch server = Batch.SERVER;
        return new SimulationSettings(
                device,
                PolicyText.parse(policy),
                policy,
                new Batch(
                        server.prefillChunkTokens(),
                        flags.whole("adapters-per-step", server.adaptersMax(), 1, device.slots()),
                        server.bypassMax(),
                        server.prefetchMax(),
                        server.lookAhead()),
                new Door(
                        flags.whole("queue", Door.SERVER.queueRequestsMax(), 1, 1 << 24),
                        Long.MAX_VALUE,
                        flags.number("tenant-share", 1, 1e-3, 1)),
                flags.whole("replicas", 1, 1, 1024),
                PolicyText.choice("--dispatcher", Dispatcher.class, flags.text("dispatcher", "round-robin")),
                new RetryRule(flags.whole("retries", 2, 0, 100)),
                new Objectives(flags.number("slo-ttft", 6, 1e-3, 1e5), flags.number("slo-tpot", 0.5, 1e-4, 1e4)),
                flags.whole("seed", SLoraGenerator.SEED, 0, Integer.MAX_VALUE));
    }

    private static DeviceProfile device(String name) throws IOException {
        for (DeviceProfile known : DeviceProfiles.ALL) {
            if (known.name().equals(name)) {
                return known;
            }
        }
        if (!Files.exists(Path.of(name))) {
            throw new FlagException("device '" + name + "' is neither a file nor one of "
                    + DeviceProfiles.ALL.stream().map(DeviceProfile::name).collect(Collectors.joining(", ")));
        }
        return DeviceFile.read(Path.of(name));
    }

    private int[] ranks() {
        return flags.wholes("ranks", "64,32,16,8", 1, 1024);
    }

    private Workload workload() throws IOException {
        int adapters = flags.whole("adapters", 200, 0, 1_000_000);
        int[] ranks = ranks();
        double alpha = flags.number("alpha", 1, 0.01, 100);
        double rate = flags.number("rate", 10, 1e-3, 1e6);
        double seconds = flags.number("seconds", 120, 0.1, 1e7);
        int seed = flags.whole("seed", SLoraGenerator.SEED, 0, Integer.MAX_VALUE);
        int tenants = flags.whole("tenants", 1, 1, 10_000);
        Workload drawn;
        String generator = flags.text("workload", "slora");
        String source = flags.has("trace") ? "--trace" : "--workload " + generator;
        for (String flag : UNUSED.getOrDefault(source, List.of())) {
            if (flags.has(flag)) {
                throw new FlagException("--" + flag + " has no effect with " + source);
            }
        }
        if (flags.has("trace")) {
            drawn = new TraceFile(
                            Path.of(flags.text("trace", "")),
                            flags.number("trace-speed", 1, 1e-3, 1e6),
                            flags.has("seconds") ? seconds : 0,
                            device(flags.text("device", "h100-8b")).contextMax(),
                            adapters,
                            alpha,
                            seed,
                            ranks)
                    .read();
        } else {
            drawn = switch (generator) {
                case "slora" -> {
                    int[] prompt = flags.range("prompt", "8:512", 1, 1 << 20);
                    int[] answer = flags.range("answer", "8:512", 1, 1 << 20);
                    double variation = flags.number("cv", 1, 0.01, 100);
                    yield new SLoraGenerator(
                                    adapters, alpha, rate, variation, seconds, prompt[0], prompt[1], answer[0],
                                    answer[1], seed, ranks)
                            .draw();
                }
                case "dlora" ->
                    new DLoraGenerator(adapters, flags.number("top-share", 0.5, 1e-6, 1), rate, seconds, seed, ranks)
                            .draw();
                default ->
                    throw new FlagException("--workload " + generator + ": it can be slora or dlora, or use --trace");
            };
        }
        return tenants == 1 ? drawn : drawn.dealtTo(tenants);
    }

    /** One line that is written over, about twice a second; nothing where the output is not a terminal. */
    private static final class ProgressLine implements Simulation.Progress {
        private static final long EVERY_NANOS = 500_000_000L;

        private final PrintStream err;
        private final String name;
        private final boolean shown = Optional.ofNullable(System.console())
                .filter(Console::isTerminal)
                .isPresent();
        private long nextNanos = System.nanoTime() + EVERY_NANOS;

        ProgressLine(PrintStream err, String name) {
            this.err = err;
            this.name = name;
        }

        @Override
        public boolean goOn(int requestsEnded, int requests, double virtualSeconds) {
            if (shown && System.nanoTime() > nextNanos) {
                nextNanos = System.nanoTime() + EVERY_NANOS;
                err.printf(Locale.ROOT, "\r%s: %,.0f s of virtual time\033[K", name, virtualSeconds);
                err.flush();
            }
            return true;
        }
    }
}
