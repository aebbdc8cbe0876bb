package io.chorale.ops;

import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.AdapterStager;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.serving.Door;
import io.prometheus.client.Collector;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/**
 * Which adapter is where, in the words of vLLM's metrics, which gateways route by: the old family, that lists adapters in
 * one gauge's labels, and the new one with a series for each adapter that is in memory. Idle adapters that are still
 * resident are told too. What is on disk alone has no series, so their number is bounded by memory.
 *
 * <p>Made when somebody asks: the labels change with every load, which meters with fixed labels cannot follow.
 */
public final class ResidencyMetrics extends Collector {
    /** The series of one engine in one process. */
    private static final String ENGINE = "0";

    private final String model;
    private final AdapterRegistry registry;
    private final AdapterStager stager;
    private final Door door;
    private final int slots;

    /** @param slots adapters that the device may hold */
    public ResidencyMetrics(String model, AdapterRegistry registry, AdapterStager stager, Door door, int slots) {
        this.model = model;
        this.registry = registry;
        this.stager = stager;
        this.door = door;
        this.slots = slots;
    }

    @Override
    public List<MetricFamilySamples> collect() {
        LoadSnapshot load = door.snapshot();
        List<AdapterEntry> device = new ArrayList<>();
        Set<Integer> onDevice = new HashSet<>();
        for (int version : load.residentAdapters()) {
            onDevice.add(version);
            registry.byVersion(version).ifPresent(device::add);
        }
        List<AdapterEntry> host = new ArrayList<>();
        for (int version : stager.store().staged()) {
            if (!onDevice.contains(version)) {
                registry.byVersion(version).ifPresent(host::add);
            }
        }
        List<MetricFamilySamples> families = new ArrayList<>();
        families.add(requestsInfo(device));
        families.add(loaded(device, host));
        families.add(count("vllm:num_gpu_loaded_lora_adapters", "Adapters in the page pool.", device.size()));
        families.add(count("vllm:num_cpu_loaded_lora_adapters", "Adapters in host memory alone.", host.size()));
        families.add(count("vllm:max_gpu_lora_adapters", "Adapters that the page pool may hold.", slots));
        return families;
    }

    /** The old family: a gauge whose value is the time and whose labels are the news. */
    private MetricFamilySamples requestsInfo(List<AdapterEntry> device) {
        Set<String> names = new TreeSet<>();
        device.forEach(entry -> names.add(entry.name()));
        List<String> labels = List.of("max_lora", "running_lora_adapters", "waiting_lora_adapters");
        List<String> values = List.of(String.valueOf(slots), String.join(",", names), "");
        return family(
                "vllm:lora_requests_info",
                "Adapters that requests find in the page pool; the value is the time.",
                List.of(sample("vllm:lora_requests_info", labels, values, System.currentTimeMillis() / 1e3)));
    }

    private MetricFamilySamples loaded(List<AdapterEntry> device, List<AdapterEntry> host) {
        List<MetricFamilySamples.Sample> samples = new ArrayList<>();
        Set<String> told = new HashSet<>();
        add(device, "gpu", told, samples);
        add(host, "cpu", told, samples);
        return family("vllm:lora_adapter_loaded", "Where an adapter is in memory.", samples);
    }

    /** Two versions of one name may be there while one replaces the other: the name is told once, at the better place. */
    private void add(
            List<AdapterEntry> entries, String level, Set<String> told, List<MetricFamilySamples.Sample> samples) {
        List<String> labels = List.of("model_name", "engine", "adapter_name", "level", "pinned", "rank");
        for (AdapterEntry entry : entries) {
            if (told.add(entry.name())) {
                List<String> values = List.of(
                        model,
                        ENGINE,
                        entry.name(),
                        level,
                        String.valueOf(stager.store().isPinned(entry.version())),
                        String.valueOf(entry.rank()));
                samples.add(sample("vllm:lora_adapter_loaded", labels, values, 1));
            }
        }
    }

    private MetricFamilySamples count(String name, String help, int value) {
        return family(
                name, help, List.of(sample(name, List.of("model_name", "engine"), List.of(model, ENGINE), value)));
    }

    private static MetricFamilySamples.Sample sample(
            String name, List<String> labels, List<String> values, double value) {
        return new MetricFamilySamples.Sample(name, labels, values, value);
    }

    private static MetricFamilySamples family(
            String name, String help, List<MetricFamilySamples.Sample> samples) {
        return new MetricFamilySamples(name, Type.GAUGE, help, samples);
    }
}
