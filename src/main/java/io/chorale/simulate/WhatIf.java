package io.chorale.simulate;

import io.chorale.core.policy.PolicySettings;
import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.List;
import java.util.Optional;

/**
 * "Can I add 200 adapters?": today's traffic and tomorrow's, played on the same servers.
 *
 * @param device one of {@link DeviceProfiles}, or with costs of its own
 * @param policy as in {@code ./chorale simulate --policy}
 * @param rate requests a second today
 * @param addRate more of them tomorrow
 * @param target attainment that is good enough
 */
public record WhatIf(
        DeviceProfile device,
        String policy,
        int replicas,
        Dispatcher dispatcher,
        int adapters,
        int addAdapters,
        int[] ranks,
        double alpha,
        double rate,
        double addRate,
        double variation,
        double seconds,
        int promptMin,
        int promptMax,
        int answerMin,
        int answerMax,
        Objectives objectives,
        double target,
        int seed) {

    /** Requests of both runs together that one question may take. */
    public static final int REQUESTS_MAX = 50_000;

    /** The two runs, and whether tomorrow's is good enough. */
    public record Answer(SimulationResult today, SimulationResult tomorrow, boolean fits, String why) {}

    public static List<String> devices() {
        return DeviceProfiles.ALL.stream().map(DeviceProfile::name).toList();
    }

    public long requests() {
        return (long) ((2 * rate + addRate) * seconds);
    }

    /**
     * Plays both; empty: they took longer than allowed.
     *
     * @throws IllegalArgumentException naming what cannot be simulated
     */
    public Optional<Answer> answer(long wallNanosMax) {
        if (requests() > REQUESTS_MAX) {
            throw new IllegalArgumentException("the question takes " + requests() + " requests to answer, at most "
                    + REQUESTS_MAX + " are allowed: ask for fewer seconds or a lower rate");
        }
        long deadline = System.nanoTime() + wallNanosMax;
        SimulationResult today = play(adapters, rate, deadline);
        SimulationResult tomorrow = today.cut() ? today : play(adapters + addAdapters, rate + addRate, deadline);
        if (tomorrow.cut()) {
            return Optional.empty();
        }
        boolean fits = (float) tomorrow.attainment() >= (float) target; // 99 of 100 are the 0.99 that was asked for
        String why = "attainment is %s %% today and %s %% tomorrow, wanted are %s %%"
                .formatted(percent(today.attainment()), percent(tomorrow.attainment()), percent(target));
        return Optional.of(new Answer(today, tomorrow, fits, why));
    }

    /** Rounded down, so that a share that is short of another never looks like it. */
    private static String percent(double share) {
        return new BigDecimal(Float.toString((float) share))
                .movePointRight(2)
                .setScale(2, RoundingMode.FLOOR)
                .toPlainString();
    }

    private SimulationResult play(int count, double perSecond, long deadline) {
        PolicySettings settings = PolicyText.parse(policy);
        SimulationSettings servers = new SimulationSettings(
                device,
                settings,
                policy,
                Batch.SERVER,
                Door.SERVER,
                replicas,
                dispatcher,
                RetryRule.OPENAI,
                objectives,
                seed);
        SLoraGenerator requests = new SLoraGenerator(
                count,
                alpha,
                perSecond,
                variation,
                seconds,
                promptMin,
                promptMax + 1,
                answerMin,
                answerMax + 1,
                seed,
                ranks);
        return new Simulation(servers, requests.draw()).run((ended, all, virtual) -> System.nanoTime() < deadline);
    }

    /**
     * A device by its name.
     *
     * @throws IllegalArgumentException naming those that there are
     */
    public static DeviceProfile device(String name) {
        return DeviceProfiles.ALL.stream()
                .filter(known -> known.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        "device '" + name + "' is not known; it can be " + String.join(", ", devices())));
    }
}
