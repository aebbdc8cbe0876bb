package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Adapters made for measuring pass the doctor, and no two are the same. */
class AdapterMakerTest {
    private static final Path FABLE = Path.of("models/fable/model");

    @TempDir
    Path folder;

    @Test
    void whatIsMadePassesTheDoctor() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        PrintStream print = new PrintStream(out, true, StandardCharsets.UTF_8);
        assertEquals(
                0,
                MakeAdaptersCommand.run(List.of(FABLE.toString(), folder.toString(), "3"), print, print),
                out::toString);
        AdapterFolder adapters = new AdapterFolder(ModelFiles.open(FABLE).shape());
        AdapterEntry first = adapters.verify("a", folder.resolve("adapter-00000"));
        AdapterEntry last = adapters.verify("b", folder.resolve("adapter-00002"));
        assertEquals(4, first.rank());
        assertEquals(List.of("q_proj", "v_proj"), first.targets());
        assertNotEquals(first.digest(), last.digest());
        assertEquals(3, Files.list(folder).count());
    }

    @Test
    void wrongWishesAreRefused() {
        PrintStream print = new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8);
        assertEquals(2, MakeAdaptersCommand.run(List.of(), print, print));
        assertEquals(2, MakeAdaptersCommand.run(List.of("m", "o", "many"), print, print));
        assertEquals(2, MakeAdaptersCommand.run(List.of("m", "o", "0"), print, print));
        assertEquals(2, MakeAdaptersCommand.run(List.of("m", "o", "1", "4097"), print, print));
        assertEquals(1, MakeAdaptersCommand.run(List.of("nowhere", folder.toString(), "1"), print, print));
        ModelShape large = new ModelShape("LlamaForCausalLM", 80, 8192, 28672, 64, 8, 128, 32000, 4096);
        assertTrue(assertThrows(
                        FileRejectedException.class, () -> new AdapterMaker(large, "large", 4096, List.of("gate_proj")))
                .problems()
                .getFirst()
                .startsWith("an adapter of rank 4096 on these linears takes 24,159,191,040 bytes; at most"));
        assertTrue(assertThrows(
                        FileRejectedException.class,
                        () -> new AdapterMaker(MalformedAdapters.BASE, "tiny", 2, List.of("q_proj", "lm_head")))
                .problems()
                .getFirst()
                .contains("lm_head"));
    }
}
