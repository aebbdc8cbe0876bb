package io.chorale.ops;

import io.chorale.access.AdapterScope;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.PrefixState;
import io.chorale.serving.Door;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.IntFunction;

/**
 * What {@link ServingMetrics} counts, once more under vLLM's names, which gateways choose a replica by and dashboards are
 * made for. Two families tell of adapters: the older one lists them in the labels of one gauge, the newer one has a series for each.
 *
 * <p>Nothing is counted here: each scrape reads what is there and writes Prometheus' text form. Micrometer cannot, since a
 * name such as {@code lora_requests_info} with a time as its value is against its rules.
 */
public final class VllmMetrics {
    /** An adapter in many requests is one name; a list of them is a label, and labels have a length. */
    private static final int NAMES_MAX = 256;

    private final ServingMetrics metrics;
    private final Door door;
    private final AdapterView adapters;
    private final String model;
    private final int pageTokens;

    /** @param model name of the base model */
    public VllmMetrics(ServingMetrics metrics, Door door, AdapterView adapters, String model, int pageTokens) {
        this.metrics = metrics;
        this.door = door;
        this.adapters = adapters;
        this.model = model;
        this.pageTokens = pageTokens;
    }

    /**
     * @param epochSeconds now: the newest series of {@code vllm:lora_requests_info} is the one that counts
     * @param shown whose names may be read
     */
    public String text(double epochSeconds, AdapterScope shown) {
        LoadSnapshot load = door.snapshot();
        PrometheusText text = new PrometheusText("model_name", model, "engine", "0");
        requests(text, load);
        latencies(text);
        cache(text, load);
        adapterRequests(text, load, epochSeconds, shown);
        adapterPlaces(text, load, shown);
        return text.toString();
    }

    private void requests(PrometheusText text, LoadSnapshot load) {
        text.gauge("vllm:num_requests_running", "Requests in steps.", load.runningSequences());
        text.gauge("vllm:num_requests_waiting", "Requests that wait.", load.waitingRequests());
        text.counter("vllm:prompt_tokens", "Tokens of prompts.", metrics.promptTokens());
        text.counter("vllm:generation_tokens", "Tokens of answers.", (double) load.answerTokens());
        text.counter("vllm:num_preemptions", "Preemptions.", (double) load.preemptions());
        text.begin("vllm:request_success_total", "counter", "Requests that ended, by reason.");
        new TreeMap<>(metrics.finishedByReason())
                .forEach(
                        (reason, count) -> text.sample("vllm:request_success_total", count, "finished_reason", reason));
    }

    private void latencies(PrometheusText text) {
        text.histogram("vllm:time_to_first_token_seconds", "Arrival to first token.", metrics.timer(Metric.TTFT));
        text.histogram("vllm:inter_token_latency_seconds", "Gaps between tokens.", metrics.timer(Metric.ITL));
        text.histogram("vllm:e2e_request_latency_seconds", "Arrival to end.", metrics.timer(Metric.TOTAL));
        text.histogram("vllm:request_queue_time_seconds", "Arrival to first step.", metrics.timer(Metric.QUEUE));
        text.histogram("vllm:request_prefill_time_seconds", "First step to token.", metrics.timer(Metric.PREFILL));
        text.histogram("vllm:request_decode_time_seconds", "First token to end.", metrics.timer(Metric.DECODE));
        text.histogram("vllm:lora_adapter_load_seconds", "Reading of adapters.", metrics.timer(Metric.ADAPTER_STAGING));
    }

    private void cache(PrometheusText text, LoadSnapshot load) {
        text.gauge("vllm:kv_cache_usage_perc", "Share of pages with KV.", (double) load.pagesKv() / load.pagesTotal());
        PrefixState prefixes = load.prefixes();
        text.counter("vllm:prefix_cache_queries", "Prompt tokens looked for.", (double) prefixes.tokensQueried());
        text.counter("vllm:prefix_cache_hits", "Prompt tokens found.", (double) prefixes.tokensFound());
        text.begin("vllm:cache_config_info", "gauge", "The page pool.");
        text.sample(
                "vllm:cache_config_info",
                1,
                "block_size",
                String.valueOf(pageTokens),
                "num_gpu_blocks",
                String.valueOf(load.pagesTotal()));
    }

    /** Resident adapters without requests count as running: a gateway that prefers them saves a load. */
    private void adapterRequests(PrometheusText text, LoadSnapshot load, double epochSeconds, AdapterScope shown) {
        text.begin("vllm:lora_requests_info", "gauge", "Adapters that requests find here; the value is the time.");
        text.sample(
                "vllm:lora_requests_info",
                epochSeconds,
                "max_lora",
                String.valueOf(adapters.residentMax()),
                "running_lora_adapters",
                names(Arrays.stream(load.residentAdapters()).boxed().toList(), shown),
                "waiting_lora_adapters",
                names(metrics.activity().waitingVersions(), shown));
    }

    private String names(List<Integer> versions, AdapterScope shown) {
        Set<String> names = new TreeSet<>();
        versions.stream()
                .map(adapters::name)
                .filter(shown::allows)
                .limit(NAMES_MAX)
                .forEach(names::add);
        return String.join(",", names);
    }

    private void adapterPlaces(PrometheusText text, LoadSnapshot load, AdapterScope shown) {
        Set<Integer> resident = new TreeSet<>();
        for (int version : load.residentAdapters()) {
            resident.add(version);
        }
        Set<Integer> staged = new TreeSet<>(adapters.staged());
        text.gauge("vllm:num_gpu_loaded_lora_adapters", "Adapters in the page pool.", resident.size());
        text.gauge("vllm:num_cpu_loaded_lora_adapters", "Adapters in host memory.", staged.size());
        text.gauge("vllm:max_gpu_lora_adapters", "Places for adapters.", adapters.residentMax());
        staged.removeAll(resident);
        text.begin("vllm:lora_adapter_loaded", "gauge", "1 for each adapter, at the level nearest to the engine.");
        place(text, "gpu", resident, shown);
        place(text, "cpu", staged, shown);
    }

    private void place(PrometheusText text, String level, Set<Integer> versions, AdapterScope shown) {
        // An older version of a name may still be there: one series for each name.
        TreeMap<String, Integer> newest = new TreeMap<>();
        versions.forEach(version -> newest.merge(adapters.name(version), version, Math::max));
        IntFunction<String> pinned = version -> String.valueOf(adapters.isPinned(version));
        newest.entrySet().stream()
                .filter(adapter -> shown.allows(adapter.getKey()))
                .limit(NAMES_MAX)
                .forEach(adapter -> text.sample(
                        "vllm:lora_adapter_loaded",
                        1,
                        "adapter_name",
                        adapter.getKey(),
                        "level",
                        level,
                        "pinned",
                        pinned.apply(adapter.getValue()),
                        "rank",
                        String.valueOf(adapters.rank(adapter.getValue()))));
    }
}
