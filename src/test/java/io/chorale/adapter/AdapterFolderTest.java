package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A folder of adapters, good and bad, and the names that point to versions. */
class AdapterFolderTest {
    private static final ModelShape BASE = new ModelShape("LlamaForCausalLM", 2, 8, 12, 2, 1, 4, 16, 2048);

    private final AdapterRegistry registry = new AdapterRegistry();
    private final AdapterFolder adapters = new AdapterFolder(BASE);

    @TempDir
    Path folder;

    private void write(String name) throws Exception {
        TestFolders.adapter(folder.resolve(name), TestFolders.adapterConfig(), TestFolders.adapterTensors());
    }

    @Test
    void eachSubFolderIsOneAdapterAndABadOneStopsNobody() throws Exception {
        write("pirate");
        write("a-first");
        write("has a blank");
        write(".hidden");
        Files.createDirectories(folder.resolve("empty"));
        Files.writeString(folder.resolve("a-file"), "");
        List<AdapterEntry> entries = adapters.scan(folder, registry);
        assertEquals(
                List.of("a-first", "empty", "has a blank", "pirate"),
                entries.stream().map(AdapterEntry::name).toList());
        assertEquals(entries, registry.list());
        AdapterEntry pirate = registry.find("pirate").orElseThrow();
        assertTrue(pirate.usable());
        assertEquals(pirate, registry.byVersion(pirate.version()).orElseThrow());
        assertEquals(2, pirate.rank());
        assertEquals(64, pirate.fingerprint().length());
        assertEquals("", pirate.digest(), "the tensors were not read yet");
        assertEquals(4L * 2 * (2 * 8 + 8 * 2 + 2 * 12 + 8 * 2), pirate.weightBytes());
        AdapterEntry empty = registry.find("empty").orElseThrow();
        assertFalse(empty.usable());
        assertTrue(empty.problems().getFirst().contains("adapter_config.json: cannot be read: no such file"));
        assertTrue(registry.find("has a blank")
                .orElseThrow()
                .problems()
                .getFirst()
                .contains("the folder's name is the adapter's name"));
        assertTrue(registry.find("nobody").isEmpty());
    }

    /** What would fill the heap before anything wrong is found. */
    @Test
    void textsThatAreFarTooLongAreNotRead() throws Exception {
        write("config");
        write("header");
        String filler = " ".repeat(8 << 20);
        Files.writeString(folder.resolve("config").resolve(PeftAdapter.CONFIG), filler + "{}");
        Files.write(
                folder.resolve("header").resolve(PeftAdapter.WEIGHTS),
                SafetensorsWriter.file("{" + filler + "}", new byte[0]));
        adapters.scan(folder, registry);
        assertTrue(problemOf("config").contains("more than the 1048576 that are read"), problemOf("config"));
        assertTrue(problemOf("header").contains("; 2 to 8388608 are possible"), problemOf("header"));
    }

    private String problemOf(String name) {
        return registry.find(name).orElseThrow().problems().getFirst();
    }

    /** Whoever may write into the folder could stop the server with them. */
    @Test
    @Timeout(60)
    void pipesAndDevicesAreNotRead() throws Exception {
        write("pirate");
        for (String file : List.of(PeftAdapter.CONFIG, PeftAdapter.WEIGHTS)) {
            write("device-" + file);
            Path replaced = folder.resolve("device-" + file).resolve(file);
            Files.delete(replaced);
            Files.createSymbolicLink(replaced, Path.of("/dev/zero"));
            write("pipe-" + file);
            Path pipe = folder.resolve("pipe-" + file).resolve(file);
            Files.delete(pipe);
            assertEquals(
                    0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
        }
        List<AdapterEntry> entries = adapters.scan(folder, registry);
        assertEquals(5, entries.size());
        for (AdapterEntry entry : entries) {
            boolean isWhole = entry.name().equals("pirate");
            assertEquals(isWhole, entry.usable(), entry.name());
            assertTrue(
                    isWhole || entry.problems().getFirst().endsWith("cannot be read: it is no regular file"),
                    () -> entry.name() + ": " + entry.problems());
        }
    }

    @Test
    void aNamePointsToItsNewestVersionAndOldVersionsStay() throws Exception {
        write("pirate");
        AdapterEntry first = adapters.scan(folder, registry).getFirst();
        AdapterEntry second = adapters.scan(folder, registry).getFirst();
        assertEquals(first.version() + 1, second.version());
        assertEquals(second, registry.find("pirate").orElseThrow());
        assertEquals(first, registry.byVersion(first.version()).orElseThrow());
        assertTrue(registry.remove("pirate").isPresent());
        assertTrue(registry.remove("pirate").isEmpty());
        assertTrue(registry.find("pirate").isEmpty());
        assertEquals(second, registry.byVersion(second.version()).orElseThrow());
    }

    @Test
    void filesThatChangedSinceTheyWereRegisteredAreRefused() throws Exception {
        write("pirate");
        AdapterEntry entry = adapters.scan(folder, registry).getFirst();
        assertEquals(entry.weightBytes(), adapters.read(entry).weightBytes());
        assertEquals(64, adapters.digest(entry).length());
        Map<String, String> changed = TestFolders.adapterConfig();
        changed.put("lora_alpha", "5");
        TestFolders.adapter(folder.resolve("pirate"), changed, TestFolders.adapterTensors());
        FilesChangedException replaced = assertThrows(FilesChangedException.class, () -> adapters.read(entry));
        assertTrue(String.valueOf(replaced.getMessage()).contains("have changed since"));
    }

    @Test
    void aFolderThatIsNotThereIsNamed() {
        assertThrows(FileRejectedException.class, () -> adapters.scan(folder.resolve("nothing"), registry));
    }
}
