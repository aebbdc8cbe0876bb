package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/**
 * A rollout as Kubernetes does it, on one machine: two replicas behind a proxy, requests all the time, each replica
 * replaced in turn. It leaves the proxy first, is told to stop a moment later (the manifests' preStop), and is gone when
 * its streams are.
 */
class RolloutIT {
    private static final String[] SETTINGS = {"chorale.lifecycle.drain-grace=60S"};
    private static final Duration EXIT_MAX = Duration.ofSeconds(90);
    private static final int CLIENTS = 6;
    private static final long PAUSE_MILLIS = 500;
    private static final long TTFT_MILLIS_MAX = 1_000;

    private record Sample(boolean whole, long ttftMillis) {}

    @Test
    void shouldReplaceEveryReplicaWithoutCuttingAStream() throws Exception {
        List<Sample> samples = new ArrayList<>();
        AtomicBoolean over = new AtomicBoolean();
        List<Server> replicas = new ArrayList<>();
        try (Proxy proxy = new Proxy()) {
            for (int i = 0; i < 2; i++) {
                replicas.add(Server.start("rollout-old-" + i, SETTINGS));
            }
            for (Server replica : replicas) {
                proxy.add(replica.awaitReady());
            }
            List<Thread> clients = new ArrayList<>();
            for (int i = 0; i < CLIENTS; i++) {
                clients.add(Thread.ofVirtual().start(() -> ask(proxy.port, over, samples)));
            }
            for (int i = 0; i < 2; i++) {
                replace(proxy, replicas.get(i), i, replicas);
            }
            over.set(true);
            for (Thread client : clients) {
                client.join(Duration.ofSeconds(60));
            }
        } finally {
            for (Server replica : replicas) {
                replica.close();
            }
        }
        synchronized (samples) {
            assertTrue(samples.size() >= CLIENTS, "there was load: " + samples.size());
            assertEquals(0, samples.stream().filter(sample -> !sample.whole()).count(), "of " + samples.size());
            long[] ttft =
                    samples.stream().mapToLong(Sample::ttftMillis).sorted().toArray();
            assertTrue(ttft[(int) (ttft.length * 0.99)] <= TTFT_MILLIS_MAX, Arrays.toString(ttft));
        }
    }

    /** A new one comes, then the old one goes: what maxSurge 1 says. */
    private static void replace(Proxy proxy, Server old, int index, List<Server> replicas) throws Exception {
        Server next = Server.start("rollout-new-" + index, SETTINGS);
        replicas.add(next);
        proxy.add(next.awaitReady());
        proxy.remove(old);
        Thread.sleep(PAUSE_MILLIS);
        old.terminate();
        assertEquals(128 + 15, old.awaitExit(EXIT_MAX));
    }

    private static void ask(int port, AtomicBoolean over, List<Sample> samples) {
        // What runs when a rollout begins has run before: the first answer of all is not counted.
        boolean first = true;
        while (!over.get()) {
            long asked = System.nanoTime();
            boolean whole;
            long ttft = 0;
            try {
                Answer answer = Answer.stream(port, 120).begun();
                ttft = Duration.ofNanos(System.nanoTime() - asked).toMillis();
                whole = answer.isWhole();
            } catch (Exception | AssertionError failed) {
                whole = false;
            }
            if (!first || !whole) {
                synchronized (samples) {
                    samples.add(new Sample(whole, ttft));
                }
            }
            first = false;
        }
    }
}
