package io.chorale.api;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.chorale.access.AdapterScope;
import io.chorale.adapter.AdapterAliases;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.core.admission.TenantTerms;
import io.chorale.core.model.SamplingParams;
import io.chorale.serving.Tenants;
import java.io.IOException;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** How tokens are drawn where a request does not say. */
class SamplingDefaultsTest {
    private static final ModelCatalog CATALOG = new ModelCatalog(
            new ModelCatalog.Base("m", "/m", 0, 100, 50, new int[0]),
            new AdapterRegistry(),
            new AdapterAliases(),
            Optional.empty());

    private static SamplingParams sampling(SamplingDefaults defaults, String more) throws IOException {
        Fields body = new Fields(new ObjectMapper().readTree("{\"model\":\"m\",\"prompt\":[1]" + more + "}"), "");
        Caller caller =
                new Caller(Tenants.single(() -> 0).of(TenantTerms.DEFAULT_TENANT), AdapterScope.ALL, 0, Map.of());
        return new CompletionReader(CATALOG, 1, defaults)
                .read(body, CompletionRequest.Shape.TEXT, caller)
                .samplingOf(0);
    }

    @Test
    void shouldDrawAsTheCheckpointWantsUnlessTheRequestSays() throws IOException {
        SamplingDefaults checkpoint = new SamplingDefaults(0.6f, 20, 0.9f, 0.05f, 1.1f);
        for (String nothing : new String[] {"", ",\"temperature\":null,\"top_p\":null,\"top_k\":null"}) {
            SamplingParams drawn = sampling(checkpoint, nothing);
            assertEquals(0.6f, drawn.temperature());
            assertEquals(20, drawn.topK());
            assertEquals(0.9f, drawn.topP());
            assertEquals(0.05f, drawn.minP());
            assertEquals(1.1f, drawn.repetitionPenalty());
        }
        SamplingParams said = sampling(
                checkpoint, ",\"temperature\":0,\"top_k\":-1,\"top_p\":1,\"min_p\":0,\"repetition_penalty\":1");
        assertEquals(0, said.temperature());
        assertEquals(0, said.topK());
        assertEquals(1, said.topP());
        assertEquals(0, said.minP());
        assertEquals(1, said.repetitionPenalty());
    }

    @Test
    void shouldDrawAsOpenAiDoesWithoutACheckpointsWish() throws IOException {
        SamplingParams drawn = sampling(SamplingDefaults.OPENAI, "");
        assertEquals(1, drawn.temperature());
        assertEquals(0, drawn.topK());
        assertEquals(1, drawn.topP());
    }
}
