package io.chorale.bench;

import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/**
 * S-LoRA's synthetic workload against a server that runs, over HTTP and SSE: each request is sent at its time, whatever
 * became of the others, with random token ids as its prompt, and its answer is as long as the workload says.
 */
final class WorkloadBench {
    /** Ids that every vocabulary has and that no prefix can be shared by. */
    private static final int TOKEN_FIRST = 10;

    private static final int TOKEN_END = 2000;

    /** Between the reading of the first metrics and the first request. */
    private static final long LEAD_NANOS = 200_000_000L;

    private final History history;
    private final WorkloadOptions options;

    WorkloadBench(History history, WorkloadOptions options) {
        this.history = history;
        this.options = options;
    }

    void run() throws IOException, InterruptedException {
        RunningServer server = new RunningServer(options.server());
        Workload workload = SLoraGenerator.of(
                        options.adapters(),
                        options.alpha(),
                        options.rate(),
                        options.variation(),
                        options.seconds(),
                        options.ranks())
                .draw();
        List<String> models = server.models();
        if (models.size() - 1 < workload.adapters()) {
            throw new IOException("the workload asks for " + workload.adapters() + " adapters, but " + options.server()
                    + " serves " + (models.size() - 1));
        }
        System.out.printf(
                "%s: %d requests, %d prompt and %d answer tokens, the last one at %.1f s%n",
                workload.name(),
                workload.size(),
                workload.promptTokensSum(),
                workload.answerTokensSum(),
                workload.lastSeconds());
        RunningServer.Metrics before = server.metrics();
        long start = System.nanoTime() + LEAD_NANOS;
        List<TimedStream> streams = play(workload, models, start);
        RunningServer.Metrics after = server.metrics();
        new WorkloadReport(workload, streams, start, options.objectiveSeconds(), before, after).write(history);
    }

    private List<TimedStream> play(Workload workload, List<String> models, long start) throws InterruptedException {
        List<Callable<TimedStream>> clients = new ArrayList<>();
        for (int i = 0; i < workload.size(); i++) {
            long due = start + workload.nanos(i);
            String body = body(workload, i, models);
            clients.add(() -> {
                TimeUnit.NANOSECONDS.sleep(due - System.nanoTime());
                return TimedStream.post(options.server(), "/v1/completions", body);
            });
        }
        List<TimedStream> streams = new ArrayList<>();
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (Future<TimedStream> ended : threads.invokeAll(clients)) {
                streams.add(ended.get());
            }
        } catch (ExecutionException bug) {
            throw new IllegalStateException("a client failed", bug.getCause());
        }
        return streams;
    }

    private static String body(Workload workload, int request, List<String> models) {
        int adapter = workload.adapter(request);
        String model = adapter == Workload.BASE ? models.getFirst() : models.get(1 + adapter);
        String prompt = Arrays.toString(new SplittableRandom(request)
                .ints(workload.promptTokens(request), TOKEN_FIRST, TOKEN_END)
                .toArray());
        return "{\"model\":\"" + model + "\",\"prompt\":" + prompt + ",\"max_tokens\":" + workload.answerTokens(request)
                + ",\"ignore_eos\":true,\"temperature\":0,\"stream\":true,\"stream_options\":{\"include_usage\":true}}";
    }
}
