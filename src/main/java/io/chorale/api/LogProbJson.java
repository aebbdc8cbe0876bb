package io.chorale.api;

import io.chorale.core.model.SequenceEvent;
import io.chorale.core.model.TopLogProbs;
import io.chorale.text.TextModel;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/** Writes log-probabilities in the two forms that OpenAI's API has. */
final class LogProbJson {
    private static final char REPLACEMENT = '\uFFFD';

    private final Optional<TextModel> text;
    private final boolean tokensAsIds;

    /** @param tokensAsIds whether a token is written as {@code token_id:7} instead of its text */
    LogProbJson(Optional<TextModel> text, boolean tokensAsIds) {
        this.text = text;
        this.tokensAsIds = tokensAsIds;
    }

    /** The chat form: a list of tokens, each with its bytes and its rivals. */
    void chat(List<SequenceEvent.Token> tokens, JsonBytes out) {
        out.raw("{\"content\":[");
        for (int i = 0; i < tokens.size(); i++) {
            SequenceEvent.Token token = tokens.get(i);
            out.raw(i == 0 ? "" : ",");
            chatToken(token.tokenId(), token.logProb(), out);
            out.raw(",\"top_logprobs\":[");
            TopLogProbs top = token.top();
            for (int k = 0; k < top.size(); k++) {
                out.raw(k == 0 ? "" : ",");
                chatToken(top.ids()[k], top.logProbs()[k], out);
                out.raw("}");
            }
            out.raw("]}");
        }
        out.raw("]}");
    }

    private void chatToken(int tokenId, float logProb, JsonBytes out) {
        out.raw("{\"token\":").string(nameOf(tokenId));
        out.raw(",\"logprob\":").logProb(logProb).raw(",\"bytes\":");
        String text = textOf(tokenId);
        if (text.indexOf(REPLACEMENT) >= 0) {
            // A part of a character: the text does not tell which bytes.
            out.raw("null");
            return;
        }
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.raw("[");
        for (int b = 0; b < bytes.length; b++) {
            out.raw(b == 0 ? "" : ",").number(bytes[b] & 0xFF);
        }
        out.raw("]");
    }

    /**
     * The completions form: parallel lists.
     *
     * @param offset where the first token begins in the answer, in characters
     * @return where the next one begins
     */
    int completions(List<SequenceEvent.Token> tokens, int offset, JsonBytes out) {
        out.raw("{\"tokens\":[");
        for (int i = 0; i < tokens.size(); i++) {
            out.raw(i == 0 ? "" : ",").string(nameOf(tokens.get(i).tokenId()));
        }
        out.raw("],\"token_logprobs\":[");
        for (int i = 0; i < tokens.size(); i++) {
            out.raw(i == 0 ? "" : ",").logProb(tokens.get(i).logProb());
        }
        out.raw("],\"top_logprobs\":[");
        for (int i = 0; i < tokens.size(); i++) {
            out.raw(i == 0 ? "" : ",");
            completionsTop(tokens.get(i), out);
        }
        out.raw("],\"text_offset\":[");
        int next = offset;
        for (int i = 0; i < tokens.size(); i++) {
            out.raw(i == 0 ? "" : ",").number(next);
            next += textOf(tokens.get(i).tokenId()).length();
        }
        out.raw("]}");
        return next;
    }

    /** The drawn token is among them even when it is not one of the best. */
    private void completionsTop(SequenceEvent.Token token, JsonBytes out) {
        TopLogProbs top = token.top();
        boolean drawn = false;
        out.raw("{");
        for (int k = 0; k < top.size(); k++) {
            drawn |= top.ids()[k] == token.tokenId();
            out.raw(k == 0 ? "" : ",").string(nameOf(top.ids()[k])).raw(":").logProb(top.logProbs()[k]);
        }
        if (!drawn) {
            out.raw(top.size() == 0 ? "" : ",")
                    .string(nameOf(token.tokenId()))
                    .raw(":")
                    .logProb(token.logProb());
        }
        out.raw("}");
    }

    private String nameOf(int tokenId) {
        return tokensAsIds ? "token_id:" + tokenId : textOf(tokenId);
    }

    private String textOf(int tokenId) {
        return text.map(model -> model.tokenizer().decode(new int[] {tokenId}, false))
                .orElse("");
    }
}
