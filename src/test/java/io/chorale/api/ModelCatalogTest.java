package io.chorale.api;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.access.AdapterScope;
import io.chorale.adapter.AdapterAliases;
import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterFacts;
import io.chorale.adapter.AdapterForm;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.api.ModelCatalog.Part;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Which adapters a request may add up. */
class ModelCatalogTest {
    private final AdapterRegistry registry = new AdapterRegistry();
    private final ModelCatalog catalog = new ModelCatalog(
            new ModelCatalog.Base("base", "/", 0, 64, 100, new int[0]),
            registry,
            new AdapterAliases(),
            Optional.empty());

    private void register(String name, AdapterForm... forms) {
        AdapterFacts facts = new AdapterFacts(4, List.of("q_proj"), 1_000, "", List.of(), List.of(forms), List.of());
        registry.add(new AdapterEntry(AdapterEntry.UNREGISTERED, name, Path.of(name), facts, name, "", List.of()));
    }

    private static Part model(String name) {
        return new Part("model", name, 1);
    }

    @Test
    void shouldSumInTheOrderOfVersionsAndLeaveOutWhatAddsNothing() {
        register("first");
        register("second", AdapterForm.LM_HEAD);
        register("third");
        ModelCatalog.Served served = catalog.find(
                model("third"),
                List.of(new Part("p", "second", 0.5f), new Part("p", "first", 0)),
                "",
                AdapterScope.ALL);
        assertArrayEquals(new int[] {1, 2}, served.adapters().versions());
        assertArrayEquals(new float[] {0.5f, 1}, served.adapters().scales());
        assertEquals("third+second*0.5", catalog.answering(served));
        assertEquals("third (third+second*0.5)", served.reported());
        registry.verified(2, "abcdef0123456789");
        assertEquals("third@abcdef012345+second*0.5", catalog.answering(served), "its version is known now");
    }

    @Test
    void shouldAddNothingToWhatDoesMoreThanAdd() {
        register("plain");
        register("dora", AdapterForm.DORA);
        register("head", AdapterForm.EMBED_TOKENS, AdapterForm.OWN_HEAD);
        assertEquals(
                "dora",
                catalog.answering(catalog.find(
                        model("base"), List.of(new Part("lora[0].name", "dora", 1)), "", AdapterScope.ALL)));
        assertEquals(
                "plain",
                catalog.answering(catalog.find(
                        model("plain"), List.of(new Part("lora[0].name", "dora", 0)), "", AdapterScope.ALL)));
        refuses("dora", "lora[1].name", new Part("lora[0].name", "plain", 1), new Part("lora[1].name", "dora", 1));
        refuses("dora", "lora[0].name", new Part("lora[0].name", "dora", 0.5f));
        refuses("own_head", "lora[0].name", new Part("lora[0].name", "head", 1), new Part("lora[1].name", "plain", 2));
    }

    private void refuses(String form, String field, Part... parts) {
        Problem problem =
                assertThrows(Problem.class, () -> catalog.find(model("base"), List.of(parts), "", AdapterScope.ALL));
        assertEquals(400, problem.status());
        assertTrue(problem.message().contains("(" + form + ") does more than add"), problem::message);
        JsonBytes out = new JsonBytes();
        problem.write(out);
        assertTrue(new String(out.take(), StandardCharsets.UTF_8).contains("\"param\":\"" + field + "\""));
    }
}
