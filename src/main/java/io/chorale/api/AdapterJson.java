package io.chorale.api;

import io.chorale.adapter.AdapterAlias;
import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterForm;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.AdapterStager;
import io.chorale.adapter.AdapterUse;
import io.chorale.adapter.NamedAdapter;
import io.chorale.serving.Door;
import java.util.Arrays;
import java.util.Locale;

/** Writes what is to be told of adapters: what they are, and where they are now. */
public final class AdapterJson {
    /** Where a version is. */
    enum Place {
        DISK,
        HOST,
        DEVICE
    }

    private final AdapterRegistry registry;
    private final AdapterStager stager;
    private final Door door;

    public AdapterJson(AdapterRegistry registry, AdapterStager stager, Door door) {
        this.registry = registry;
        this.stager = stager;
        this.door = door;
    }

    AdapterRegistry registry() {
        return registry;
    }

    private Place placeOf(int version, int[] resident) {
        if (Arrays.stream(resident).anyMatch(other -> other == version)) {
            return Place.DEVICE;
        }
        return stager.store().bytesOf(version) > 0 ? Place.HOST : Place.DISK;
    }

    void write(NamedAdapter named, JsonBytes out) {
        AdapterEntry entry = named.entry();
        Place place = placeOf(entry.version(), door.snapshot().residentAdapters());
        AdapterUse use = stager.useOf(entry.version());
        out.raw("{\"name\":").string(named.name()).raw(",\"object\":\"adapter\",\"version\":");
        // Known when its content was read.
        if (entry.label().isEmpty()) {
            out.raw("null");
        } else {
            out.string(entry.label());
        }
        out.raw(",\"state\":").string(entry.usable() ? "usable" : "invalid");
        out.raw(",\"place\":").string(place.name().toLowerCase(Locale.ROOT));
        out.raw(",\"pinned\":").flag(named.pinned());
        out.raw(",\"rank\":").number(entry.rank());
        out.raw(",\"targets\":").strings(entry.targets());
        writeForms(entry, out);
        out.raw(",\"weight_bytes\":").number(entry.weightBytes());
        out.raw(",\"host_bytes\":").number(stager.store().bytesOf(entry.version()));
        out.raw(",\"base_model\":").string(entry.facts().base());
        out.raw(",\"root\":").string(entry.directory().toString());
        out.raw(",\"requests\":").number(use.requests());
        out.raw(",\"idle_seconds\":");
        if (use.requests() == 0) {
            out.raw("null");
        } else {
            out.number(Math.max(0, System.nanoTime() - use.lastNanos()) / 1_000_000_000);
        }
        out.raw(",\"versions\":")
                .strings(named.versions().stream()
                        .map(AdapterEntry::label)
                        .filter(label -> !label.isEmpty())
                        .toList());
        writeWarnings(entry, out);
        out.raw(",\"problems\":").strings(entry.problems()).raw("}");
    }

    private static void writeForms(AdapterEntry entry, JsonBytes out) {
        out.raw(",\"forms\":")
                .strings(entry.facts().forms().stream().map(AdapterForm::label).toList());
    }

    private static void writeWarnings(AdapterEntry entry, JsonBytes out) {
        out.raw(",\"warnings\":").strings(entry.facts().warnings());
    }

    /** What the doctor says of an adapter that is not served. */
    static void writeReport(AdapterEntry entry, JsonBytes out) {
        out.raw("{\"valid\":true,\"digest\":").string(entry.digest());
        out.raw(",\"rank\":").number(entry.rank());
        out.raw(",\"targets\":").strings(entry.targets());
        writeForms(entry, out);
        out.raw(",\"weight_bytes\":").number(entry.weightBytes());
        out.raw(",\"base_model\":").string(entry.facts().base());
        writeWarnings(entry, out);
        out.raw("}");
    }

    void writeHost(JsonBytes out) {
        out.raw("{\"bytes_max\":").number(stager.store().bytesMax());
        out.raw(",\"bytes_used\":").number(stager.store().bytesUsed());
        out.raw(",\"bytes_pinned\":").number(stager.store().bytesPinned());
        out.raw(",\"adapters\":").number(stager.store().staged().size());
        out.raw(",\"device_adapters\":")
                .number(door.snapshot().residentAdapters().length)
                .raw("}");
    }

    static void write(AdapterAlias alias, JsonBytes out) {
        out.raw("{\"name\":").string(alias.name()).raw(",\"object\":\"alias\",\"weights\":{");
        for (int i = 0; i < alias.shares().size(); i++) {
            AdapterAlias.Share share = alias.shares().get(i);
            out.raw(i == 0 ? "" : ",").string(share.to()).raw(":").raw(Double.toString(share.weight()));
        }
        out.raw("}}");
    }
}
