package io.chorale.api;

import io.chorale.simulate.Calibration;
import io.chorale.simulate.DeviceProfile;
import io.chorale.simulate.Dispatcher;
import io.chorale.simulate.PolicyText;
import io.chorale.simulate.ServerDevice;
import io.chorale.simulate.SimulationResult;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.simulate.WhatIf;
import io.smallrye.common.annotation.Blocking;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Semaphore;
import java.util.stream.Collectors;

/**
 * {@code POST /v1/plan}: what if there were more adapters and more traffic? Answered by simulation, on a worker, one question
 * at a time and within bounds, because the answers of the server itself matter more.
 */
@Path("/v1/plan")
public class PlanResource {
    private static final Set<String> FIELDS = Set.of(
            "rate",
            "adapters",
            "add_adapters",
            "add_rate",
            "ranks",
            "alpha",
            "cv",
            "prompt_tokens",
            "answer_tokens",
            "device",
            "replicas",
            "dispatcher",
            "policy",
            "costs",
            "ttft_ms",
            "tpot_ms",
            "attainment",
            "seconds",
            "seed");
    private static final Duration TIME_MAX = Duration.ofSeconds(10);
    private static final int ADAPTERS_MAX = 100_000;
    private static final int TOKENS_MAX = 4_096;
    private static final int RANKS_MAX = 16;
    private static final int RANK_MAX = 256;
    private static final int REPLICAS_MAX = 64;
    private static final int POLICY_CHARS_MAX = 200;

    private final ModelCatalog catalog;
    private final ServerDevice server;
    private final Semaphore free = new Semaphore(1);

    PlanResource(ModelCatalog catalog, ServerDevice server) {
        this.catalog = catalog;
        this.server = server;
    }

    @POST
    @Blocking
    @Consumes(MediaType.APPLICATION_JSON)
    @Produces(MediaType.APPLICATION_JSON)
    public byte[] plan(Fields body) {
        WhatIf question = read(body);
        if (!free.tryAcquire()) {
            throw Problem.overloaded(
                    503, "plan_busy", "Another plan is being made; one is made at a time.", TIME_MAX.dividedBy(2));
        }
        try {
            WhatIf.Answer answer = question.answer(TIME_MAX.toNanos())
                    .orElseThrow(() -> Problem.invalid(
                            400,
                            "plan_too_large",
                            "seconds",
                            "The simulation takes longer than the " + TIME_MAX.toSeconds()
                                    + " s allowed; ask for fewer seconds or a lower rate."));
            return write(answer);
        } catch (IllegalArgumentException wrong) {
            throw Problem.invalid(
                    400, "invalid_value", null, ProblemMapper.sentence(String.valueOf(wrong.getMessage())));
        } finally {
            free.release();
        }
    }

    // ---- the question ---------------------------------------------------------------------------------------------

    private WhatIf read(Fields body) {
        body.onlyKnows(FIELDS);
        if (body.get("rate") == null) {
            throw Problem.invalid(400, "missing_parameter", "rate", "'rate' is missing: requests a second today.");
        }
        float rate = body.number("rate", 1, 0.01f, 10_000);
        int adapters = body.integer("adapters", Math.max(1, catalog.adapterCount()), 0, ADAPTERS_MAX);
        int more = body.integer("add_adapters", 0, 0, ADAPTERS_MAX);
        float rateMore = adapters == 0 ? 0 : rate * more / adapters;
        int[] prompt = lengths(body, "prompt_tokens");
        int[] answer = lengths(body, "answer_tokens");
        int[] given = body.integers("ranks", RANKS_MAX, 1, RANK_MAX);
        int[] ranks = given.length == 0 ? new int[] {16} : given;
        return new WhatIf(
                device(body, ranks),
                policy(body),
                body.integer("replicas", 1, 1, REPLICAS_MAX),
                dispatcher(body),
                adapters,
                more,
                ranks,
                body.number("alpha", 1, 0.05f, 1),
                rate,
                body.number("add_rate", rateMore, 0, 10_000),
                body.number("cv", 1, 0.1f, 20),
                body.number("seconds", 60, 1, 3_600),
                prompt[0],
                prompt[1],
                answer[0],
                answer[1],
                new Objectives(
                        body.integer("ttft_ms", 6_000, 1, 600_000) / 1e3,
                        body.integer("tpot_ms", 500, 1, 600_000) / 1e3),
                body.number("attainment", 0.99f, 0, 1),
                body.integer("seed", 42, 0, Integer.MAX_VALUE));
    }

    /** A built-in device or this server, with costs of its own where they are given. */
    private DeviceProfile device(Fields body, int[] ranks) {
        String name = choice(body, "device", WhatIf.devices().getFirst());
        DeviceProfile device;
        try {
            device = name.equals(ServerDevice.NAME) ? server.now(ranks) : WhatIf.device(name);
        } catch (IllegalArgumentException unknown) {
            throw Problem.badValue("device", ProblemMapper.sentence(unknown.getMessage() + ", " + ServerDevice.NAME));
        }
        Fields costs = body.child("costs");
        try {
            return costs == null ? device : Calibration.device(name, device, Calibration.read(costs.object()), ranks);
        } catch (IllegalArgumentException wrong) {
            throw Problem.badValue("costs", "'costs': " + wrong.getMessage() + ".");
        }
    }

    private static String policy(Fields body) {
        String given = choice(body, "policy", "chorale");
        try {
            PolicyText.parse(given);
        } catch (IllegalArgumentException wrong) {
            throw Problem.badValue("policy", ProblemMapper.sentence(String.valueOf(wrong.getMessage())));
        }
        return given;
    }

    private static String choice(Fields body, String name, String byDefault) {
        String given = body.text(name);
        if (given != null && given.length() > POLICY_CHARS_MAX) {
            throw Problem.badValue(name, "'" + name + "' has more than " + POLICY_CHARS_MAX + " characters.");
        }
        return given == null ? byDefault : given;
    }

    private static Dispatcher dispatcher(Fields body) {
        String given = choice(body, "dispatcher", Dispatcher.ROUND_ROBIN.flag());
        return Arrays.stream(Dispatcher.values())
                .filter(one -> one.flag().equals(given))
                .findFirst()
                .orElseThrow(() -> Problem.badValue(
                        "dispatcher",
                        "'dispatcher' must be one of "
                                + Arrays.stream(Dispatcher.values())
                                        .map(Dispatcher::flag)
                                        .collect(Collectors.joining(", "))
                                + "."));
    }

    /** Two numbers, the smaller one first; S-LoRA's lengths where none are given. */
    private static int[] lengths(Fields body, String name) {
        int[] given = body.integers(name, 2, 1, TOKENS_MAX);
        if (given.length == 0) {
            return new int[] {8, 511};
        }
        if (given.length != 2 || given[0] > given[1]) {
            throw Problem.badValue(name, "'" + name + "' must be two numbers, the smaller one first.");
        }
        return given;
    }

    // ---- the answer -----------------------------------------------------------------------------------------------

    private static byte[] write(WhatIf.Answer answer) {
        JsonBytes out = new JsonBytes();
        out.raw("{\"fits\":")
                .raw(String.valueOf(answer.fits()))
                .raw(",\"why\":")
                .string(answer.why());
        out.raw(",\"today\":");
        write(answer.today(), out);
        out.raw(",\"tomorrow\":");
        write(answer.tomorrow(), out);
        return out.raw("}").take();
    }

    private static void write(SimulationResult r, JsonBytes out) {
        out.raw("{\"workload\":").string(r.workload());
        out.raw(",\"requests\":").number(r.requests()).raw(",\"served\":").number(r.served());
        out.raw(",\"given_up\":").number(r.aborted());
        out.raw(",\"refused\":").number((long) r.rejected() + r.refused());
        number("attainment", r.attainment(), out);
        number("satisfaction", r.satisfaction(), out);
        number("goodput", r.goodput(), out);
        number("throughput", r.throughput(), out);
        number("ttft_p50_seconds", r.ttftQuantile(0.5), out);
        number("ttft_p99_seconds", r.ttftQuantile(0.99), out);
        number("itl_p50_seconds", r.itlQuantile(0.5), out);
        number("itl_p99_seconds", r.itlQuantile(0.99), out);
        number("device_busy", r.busyShare(), out);
        out.raw(",\"adapter_uploads\":").number(r.uploads());
        out.raw(",\"preemptions\":").number(r.preemptions()).raw("}");
    }

    private static void number(String name, double value, JsonBytes out) {
        out.raw(",\"").raw(name).raw("\":");
        out.raw(Double.isNaN(value) ? "null" : String.format(Locale.ROOT, "%.6g", value));
    }
}
