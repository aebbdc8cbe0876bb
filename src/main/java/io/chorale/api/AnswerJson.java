package io.chorale.api;

import io.chorale.api.CompletionRequest.Prompt;
import io.chorale.api.CompletionRequest.Shape;
import java.util.List;

/**
 * Writes the answers to one request as JSON: chunk by chunk or whole, in the form of the endpoint. The parts of a chunk
 * that never change are written once.
 *
 * <p>Chunks of a choice come in the order {@code open, piece*, end}; after the last choice, {@code usage}.
 */
final class AnswerJson {
    private static final byte[] NO_LOGPROBS = JsonBytes.ascii("null");
    private static final byte[] GOES_ON = JsonBytes.ascii(",\"finish_reason\":null}]");

    private final CompletionRequest request;
    private final boolean chat;
    private final LogProbJson logProbs;

    /** The fields that every chunk begins with: id, object, created, model. */
    private final byte[] head;

    /** By choice: {@code head}, and on to the quote before the text of a piece. */
    private final byte[][] pieceHeads;

    private final byte[] pieceTextEnd;

    /** By choice, for the completions form of log-probabilities. */
    private final int[] textOffsets;

    private final boolean[] begun;

    AnswerJson(CompletionRequest request, ModelCatalog catalog, String id, long createdSeconds) {
        this.request = request;
        this.chat = request.shape() == Shape.CHAT;
        this.logProbs = new LogProbJson(catalog.text(), request.tokensAsIds());
        String object = chat ? request.stream() ? "chat.completion.chunk" : "chat.completion" : "text_completion";
        JsonBytes out = new JsonBytes();
        out.raw("{\"id\":\"")
                .raw(chat ? "chatcmpl-" : "cmpl-")
                .raw(id)
                .raw("\",\"object\":\"")
                .raw(object);
        out.raw("\",\"created\":").number(createdSeconds);
        out.raw(",\"model\":").string(request.model().asked());
        head = out.take();
        pieceHeads = new byte[request.choices()][];
        for (int i = 0; i < pieceHeads.length; i++) {
            out.raw(head).raw(",\"choices\":[{\"index\":").number(i);
            pieceHeads[i] = out.raw(chat ? ",\"delta\":{\"content\":\"" : ",\"text\":\"")
                    .take();
        }
        pieceTextEnd = JsonBytes.ascii(chat ? "\"},\"logprobs\":" : "\",\"logprobs\":");
        textOffsets = new int[pieceHeads.length];
        begun = new boolean[pieceHeads.length];
    }

    /** Whether a choice begins with a chunk of its own: the role in chat, nothing in completions. */
    boolean opens() {
        return chat;
    }

    void open(Choice choice, JsonBytes out) {
        out.raw(head);
        if (request.tokenIdsReturned()) {
            writePromptIds(choice.index(), out);
        }
        out.raw(",\"choices\":[{\"index\":").number(choice.index());
        out.raw(",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]");
        endChunk(choice, out);
    }

    void piece(Choice choice, JsonBytes out) {
        int index = choice.index();
        out.raw(pieceHeads[index]).escaped(choice.text()).raw(pieceTextEnd);
        if (choice.tokens().isEmpty()) {
            out.raw(NO_LOGPROBS);
        } else if (chat) {
            logProbs.chat(choice.tokens(), out);
        } else {
            textOffsets[index] = logProbs.completions(choice.tokens(), textOffsets[index], out);
        }
        if (request.tokenIdsReturned()) {
            if (!chat && !begun[index]) {
                begun[index] = true;
                writePromptIds(index, out);
            }
            out.raw(",\"token_ids\":");
            choice.writeIds(out);
        }
        out.raw(GOES_ON);
        endChunk(choice, out);
    }

    void end(Choice choice, JsonBytes out) {
        out.raw(head).raw(",\"choices\":[{\"index\":").number(choice.index());
        out.raw(chat ? ",\"delta\":{}" : ",\"text\":\"\"").raw(",\"logprobs\":null");
        writeFinish(choice, out);
        out.raw("}]");
        endChunk(choice, out);
    }

    private void endChunk(Choice choice, JsonBytes out) {
        if (request.usageContinuous()) {
            int prompt = request.promptOf(choice.index()).ids().length;
            writeUsage(prompt, choice.completionTokens(), choice.cachedTokens(), out);
        }
        out.raw("}");
    }

    /** The chunk after all choices: no choice, what the request took. */
    void usage(List<Choice> choices, JsonBytes out) {
        out.raw(head).raw(",\"choices\":[]");
        writeUsage(choices, out);
        out.raw("}");
    }

    // The whole answer, when every choice has ended and none of its pieces were taken.

    void beginWhole(JsonBytes out) {
        out.raw(head);
        if (chat && request.tokenIdsReturned()) {
            writePromptIds(0, out);
        }
        out.raw(",\"choices\":[");
    }

    void whole(Choice choice, JsonBytes out) {
        out.raw(choice.index() == 0 ? "{\"index\":" : ",{\"index\":").number(choice.index());
        if (chat) {
            out.raw(",\"message\":{\"role\":\"assistant\",\"content\":").string(choice.text());
            out.raw("},\"logprobs\":");
        } else {
            out.raw(",\"text\":").string(choice.text()).raw(",\"logprobs\":");
        }
        if (!request.logProbs()) {
            out.raw(NO_LOGPROBS);
        } else if (chat) {
            logProbs.chat(choice.tokens(), out);
        } else {
            logProbs.completions(choice.tokens(), 0, out);
        }
        if (request.tokenIdsReturned()) {
            if (!chat) {
                writePromptIds(choice.index(), out);
            }
            out.raw(",\"token_ids\":");
            choice.writeIds(out);
        }
        writeFinish(choice, out);
        out.raw("}");
    }

    void endWhole(List<Choice> choices, JsonBytes out) {
        out.raw("]");
        writeUsage(choices, out);
        out.raw("}");
    }

    private static void writeFinish(Choice choice, JsonBytes out) {
        out.raw(",\"finish_reason\":\"").raw(choice.finishReason()).raw("\",\"stop_reason\":");
        choice.writeStopReason(out);
    }

    private void writePromptIds(int choice, JsonBytes out) {
        int[] ids = request.promptOf(choice).ids();
        out.raw(",\"prompt_token_ids\":");
        Choice.writeIds(ids, ids.length, out);
    }

    private void writeUsage(List<Choice> choices, JsonBytes out) {
        int prompt = 0;
        for (Prompt one : request.prompts()) {
            prompt += one.ids().length;
        }
        int completion = 0;
        int cached = 0;
        for (Choice choice : choices) {
            completion += choice.completionTokens();
            cached += choice.cachedTokens();
        }
        writeUsage(prompt, completion, Math.min(cached, prompt), out);
    }

    private static void writeUsage(int prompt, int completion, int cached, JsonBytes out) {
        out.raw(",\"usage\":{\"prompt_tokens\":").number(prompt);
        out.raw(",\"total_tokens\":").number((long) prompt + completion);
        out.raw(",\"completion_tokens\":").number(completion);
        if (cached > 0) {
            out.raw(",\"prompt_tokens_details\":{\"cached_tokens\":")
                    .number(cached)
                    .raw("}");
        }
        out.raw("}");
    }
}
