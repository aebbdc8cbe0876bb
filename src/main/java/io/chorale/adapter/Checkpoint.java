package io.chorale.adapter;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The verified safetensors files of one folder, taken as one set of named tensors: a single file, or the shards that an
 * index lists.
 */
record Checkpoint(List<SafetensorsFile> files, Map<String, Placed> tensors) {
    private static final String SINGLE = "model.safetensors";
    private static final String INDEX = "model.safetensors.index.json";
    private static final long INDEX_BYTES_MAX = 256L << 20;
    private static final int SHARDS_MAX = 4096;

    /** A tensor and the index of the file that it lies in. */
    record Placed(int file, SafetensorsFile.Tensor tensor) {}

    static Checkpoint open(Path directory) throws FileRejectedException {
        Path single = directory.resolve(SINGLE);
        Path index = directory.resolve(INDEX);
        if (Files.exists(single)) {
            return of(List.of(SafetensorsFile.open(single)));
        }
        if (Files.exists(index)) {
            return sharded(directory, JsonText.readObject(index, INDEX_BYTES_MAX));
        }
        if (Files.exists(directory.resolve("pytorch_model.bin"))
                || Files.exists(directory.resolve("pytorch_model.bin.index.json"))) {
            throw new FileRejectedException(
                    directory + ": holds only pickled weights (pytorch_model.bin), which can run"
                            + " code when read; save them as safetensors");
        }
        throw new FileRejectedException(directory + ": has neither " + SINGLE + " nor " + INDEX);
    }

    static Checkpoint of(List<SafetensorsFile> files) throws FileRejectedException {
        Map<String, Placed> tensors = new LinkedHashMap<>();
        for (int i = 0; i < files.size(); i++) {
            for (SafetensorsFile.Tensor tensor : files.get(i).tensors().values()) {
                Placed before = tensors.put(tensor.name(), new Placed(i, tensor));
                if (before != null) {
                    throw new FileRejectedException("tensor '" + tensor.name() + "' is in two files: "
                            + files.get(before.file()).path() + " and "
                            + files.get(i).path());
                }
            }
        }
        return new Checkpoint(files, tensors);
    }

    /** What the manifest says of the files. */
    List<SpanFile> spanFiles() {
        return files.stream()
                .map(file -> new SpanFile(file.path().toAbsolutePath().toString(), file.fileBytes()))
                .toList();
    }

    private static Checkpoint sharded(Path directory, JsonObject index) throws FileRejectedException {
        JsonObject map = index.object("weight_map");
        Set<String> names = new LinkedHashSet<>();
        for (Map.Entry<String, @Nullable Object> entry : map.fields().entrySet()) {
            if (!(entry.getValue() instanceof String name)) {
                throw map.wrong(entry.getKey(), "is not the name of a file");
            }
            if (!name.endsWith(".safetensors") || name.contains("/") || name.contains("\\") || name.indexOf(0) >= 0) {
                throw map.wrong(
                        entry.getKey(),
                        "is " + JsonObject.shown(name) + ", not the name of a safetensors file of this folder");
            }
            names.add(name);
        }
        if (names.isEmpty() || names.size() > SHARDS_MAX) {
            throw index.wrong("weight_map", "names " + names.size() + " files; 1 to " + SHARDS_MAX + " are possible");
        }
        List<SafetensorsFile> files = new ArrayList<>();
        for (String name : names) {
            files.add(SafetensorsFile.open(directory.resolve(name)));
        }
        Checkpoint checkpoint = of(files);
        for (Map.Entry<String, @Nullable Object> entry : map.fields().entrySet()) {
            Path shard = directory.resolve(String.valueOf(entry.getValue()));
            Placed placed = checkpoint.tensors.get(entry.getKey());
            if (placed == null || !files.get(placed.file()).path().equals(shard)) {
                throw map.wrong(entry.getKey(), "says that the tensor is in " + shard + ", but it is not");
            }
        }
        return checkpoint;
    }
}
