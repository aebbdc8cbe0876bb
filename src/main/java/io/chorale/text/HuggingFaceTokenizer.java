package io.chorale.text;

import io.chorale.text.TextException.Kind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * Hugging Face's tokenizer library over a {@code tokenizer.json}.
 */
public final class HuggingFaceTokenizer implements Tokenizer {
    private final Path file;
    private final NativeTokenizer tokenizer;
    private final ControlTokens control;
    private final Map<String, Integer> addedIds = new HashMap<>();
    private final BitSet special = new BitSet();
    private final BitSet byteTokens;
    private final int vocabularySize;
    /** Made when a message first spells out a control token, which few ever do: it costs as much as the tokenizer. */
    private @Nullable GuardedTokenizer guarded;

    private HuggingFaceTokenizer(Path file, NativeTokenizer tokenizer, TokenizerFile parsed, String templateSource) {
        this.file = file;
        this.tokenizer = tokenizer;
        this.control = ControlTokens.of(parsed, templateSource);
        this.byteTokens = parsed.byteTokens();
        this.vocabularySize = parsed.size();
        for (TokenizerFile.AddedToken token : parsed.addedTokens()) {
            addedIds.put(token.content(), token.id());
            special.set(token.id(), token.special());
        }
    }

    /**
     * Loads a {@code tokenizer.json}.
     *
     * @param templateSource the source of the chat template, whose added tokens a message must not forge
     * @throws TextException if the file is malformed
     */
    public static HuggingFaceTokenizer load(Path file, String templateSource) {
        try {
            String json = Files.readString(file);
            TokenizerFile parsed = TokenizerFile.read(json);
            return new HuggingFaceTokenizer(file, NativeTokenizer.of(json), parsed, templateSource);
        } catch (IOException | RuntimeException e) {
            throw new TextException(Kind.MALFORMED_FILE, file + " is no tokenizer: " + firstLine(e), e);
        }
    }

    /** A parser's second line is about the parser. */
    private static String firstLine(Exception e) {
        return String.valueOf(e.getMessage()).lines().findFirst().orElse("").strip();
    }

    @Override
    public int[] encode(String text, boolean addSpecialTokens) {
        return tokenizer.encode(wellFormed(text), addSpecialTokens);
    }

    @Override
    public int[] encode(RenderedPrompt prompt) {
        String text = wellFormed(prompt.text());
        ControlTokens.Occurrences occurrences = control.in(text, contentOf(prompt));
        if (!occurrences.forged()) {
            int[] ids = tokenizer.encode(text, false);
            if (isFaithful(ids, occurrences.written())) {
                return ids;
            }
        }
        return encodeGuarded(prompt);
    }

    /** As {@link #encode(RenderedPrompt)}, whatever the messages hold. */
    int[] encodeGuarded(RenderedPrompt prompt) {
        String text = wellFormed(prompt.text());
        List<ControlTokens.Occurrence> written =
                control.in(text, contentOf(prompt)).written();
        int[] ids = guarded().encode(text, written);
        if (!isFaithful(ids, written)) {
            throw new TextException(
                    Kind.UNSAFE_CONTENT, "the messages hold text that the tokenizer takes for a special token");
        }
        return ids;
    }

    /** Whether every control token in {@code ids} is one that the template wrote, in its order. */
    private boolean isFaithful(int[] ids, List<ControlTokens.Occurrence> written) {
        int next = 0;
        for (int id : ids) {
            if (control.contains(id)) {
                while (next < written.size() && written.get(next).token().id() != id) {
                    next++;
                }
                if (next++ == written.size()) {
                    return false;
                }
            }
        }
        return true;
    }

    private synchronized GuardedTokenizer guarded() {
        if (guarded == null) {
            try {
                guarded = GuardedTokenizer.of(Files.readString(file), control);
            } catch (IOException | RuntimeException e) {
                throw new TextException(
                        Kind.UNSAFE_CONTENT,
                        "the messages spell out a special token, which this tokenizer cannot keep apart: "
                                + e.getMessage(),
                        e);
            }
        }
        return guarded;
    }

    private static BitSet contentOf(RenderedPrompt prompt) {
        BitSet content = new BitSet();
        int start = 0;
        for (RenderedPrompt.Piece piece : prompt.pieces()) {
            int end = start + piece.text().length();
            content.set(start, end, piece.fromContent());
            start = end;
        }
        return content;
    }

    /** The library would read a whole text with a lone surrogate in it as another encoding. */
    private static String wellFormed(String text) {
        StringBuilder repaired = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (!Character.isSurrogate(c)) {
                continue;
            }
            if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
                continue;
            }
            repaired = repaired == null ? new StringBuilder(text) : repaired;
            repaired.setCharAt(i, '\uFFFD');
        }
        return repaired == null ? text : repaired.toString();
    }

    @Override
    public String decode(int[] ids, boolean skipSpecialTokens) {
        return tokenizer.decode(ids, skipSpecialTokens);
    }

    @Override
    public int vocabularySize() {
        return vocabularySize;
    }

    @Override
    public OptionalInt idOf(String addedToken) {
        Integer id = addedIds.get(addedToken);
        return id == null ? OptionalInt.empty() : OptionalInt.of(id);
    }

    @Override
    public boolean isSpecial(int id) {
        return special.get(id);
    }

    @Override
    public boolean isByte(int id) {
        return byteTokens.get(id);
    }
}
