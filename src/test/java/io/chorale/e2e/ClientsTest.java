package io.chorale.e2e;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.http.StreamResponse;
import com.openai.errors.BadRequestException;
import com.openai.errors.NotFoundException;
import com.openai.helpers.ChatCompletionAccumulator;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionStreamOptions;
import io.chorale.testing.Npm;
import io.quarkus.test.common.http.TestHTTPResource;
import io.quarkus.test.junit.QuarkusTest;
import java.net.URI;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The clients that people have, official ones first, against the real engine: what they throw or lose, users would. */
@QuarkusTest
class ClientsTest {
    @TestHTTPResource("/")
    @SuppressWarnings("NullAway.Init") // set by Quarkus
    URI server;

    @SuppressWarnings("NullAway.Init") // set before each test
    private OpenAIClient client;

    @BeforeEach
    void connect() {
        client = OpenAIOkHttpClient.builder()
                .baseUrl(server.resolve("/v1").toString())
                .apiKey("none")
                .maxRetries(0)
                .build();
    }

    @AfterEach
    void disconnect() {
        client.close();
    }

    @Test
    void theOfficialClientOfNpm() throws Exception {
        Npm.test("openai.mjs", server.toString(), Fable.EXPECTED.toString());
    }

    @Test
    void otherClientsOfNpm() throws Exception {
        Npm.test("clients.mjs", server.toString(), Fable.EXPECTED.toString());
    }

    @Test
    void theOfficialClientOfJavaChats() throws Exception {
        Fable story = Fable.with("robot");
        ChatCompletion answer = client.chat().completions().create(ask(story).build());
        assertEquals(
                story.answer(), answer.choices().getFirst().message().content().orElseThrow());
        assertEquals(story.answerTokens(), answer.usage().orElseThrow().completionTokens());
    }

    /** The accumulator is the strictest of the clients: it wants every field, and usage in a chunk of its own. */
    @Test
    void theOfficialClientOfJavaStreams() throws Exception {
        Fable story = Fable.with("json");
        ChatCompletionAccumulator accumulator = ChatCompletionAccumulator.create();
        ChatCompletionStreamOptions usage =
                ChatCompletionStreamOptions.builder().includeUsage(true).build();
        try (StreamResponse<ChatCompletionChunk> chunks = client.chat()
                .completions()
                .createStreaming(ask(story).streamOptions(usage).build())) {
            chunks.stream().forEach(accumulator::accumulate);
        }
        ChatCompletion answer = accumulator.chatCompletion();
        assertEquals(
                story.answer(), answer.choices().getFirst().message().content().orElseThrow());
        assertEquals(
                ChatCompletion.Choice.FinishReason.STOP,
                answer.choices().getFirst().finishReason());
        assertEquals(story.answerTokens(), answer.usage().orElseThrow().completionTokens());
    }

    @Test
    void theOfficialClientOfJavaReadsRefusals() throws Exception {
        Fable story = Fable.with("robot");
        ChatCompletionCreateParams unknown = ask(story).model("ghost").build();
        NotFoundException gone = assertThrows(
                NotFoundException.class, () -> client.chat().completions().create(unknown));
        assertEquals("model_not_found", gone.code().orElseThrow());
        ChatCompletionCreateParams endless =
                ask(story).maxCompletionTokens(5000).build();
        BadRequestException tooLong = assertThrows(
                BadRequestException.class, () -> client.chat().completions().create(endless));
        assertEquals("context_length_exceeded", tooLong.code().orElseThrow());
        assertTrue(tooLong.toString().contains("This model's maximum context length is 1024 tokens."));
    }

    private static ChatCompletionCreateParams.Builder ask(Fable story) {
        return ChatCompletionCreateParams.builder()
                .model(story.model())
                .addUserMessage(story.question())
                .temperature(0)
                .maxCompletionTokens(300);
    }
}
