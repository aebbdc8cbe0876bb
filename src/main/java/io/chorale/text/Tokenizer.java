package io.chorale.text;

import java.util.OptionalInt;

/** Turns text into token ids and back. Implementations are thread-safe. */
public interface Tokenizer {
    /**
     * The ids of a text in which special tokens are recognised, never cut short nor padded.
     *
     * @param addSpecialTokens whether what the model expects around a text, such as a beginning-of-text token, is added
     */
    int[] encode(String text, boolean addSpecialTokens);

    /**
     * The ids of a prompt: those of its whole text, but for special tokens spelled out in a message, which stay text.
     *
     * @throws TextException if the tokenizer cannot keep the two apart
     */
    int[] encode(RenderedPrompt prompt);

    /** The text of ids; an id that the vocabulary does not hold is no text. */
    String decode(int[] ids, boolean skipSpecialTokens);

    /** One more than the largest id; a model's own vocabulary may be padded beyond it. */
    int vocabularySize();

    /** The id of a special or otherwise added token. */
    OptionalInt idOf(String addedToken);

    /** Whether {@code skipSpecialTokens} leaves this id out. */
    boolean isSpecial(int id);

    /** Whether the id stands for a single byte which, with its neighbours, makes a character. */
    boolean isByte(int id);
}
