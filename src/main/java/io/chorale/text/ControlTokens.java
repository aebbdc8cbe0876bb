package io.chorale.text;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The tokens that steer a model, and where their text stands in a prompt.
 *
 * <p>These are the tokens marked special, those that the chat template names, and those that were added to the
 * vocabulary and look like markup: {@code <｜User｜>} and {@code <think>} are not marked special where they come from.
 * Ordinary text are runs of white space, words that someone added, and the {@code <h1>} that Gemma's vocabulary holds.
 */
final class ControlTokens {
    /** Control token {@code index} at the characters from {@code start} (inclusive) to {@code end} (exclusive). */
    record Occurrence(int start, int end, TokenizerFile.AddedToken token) {}

    /**
     * What a prompt spells out.
     *
     * @param written by the template, to become tokens
     * @param forged whether any is spelled out by a message, wholly or in part
     */
    record Occurrences(List<Occurrence> written, boolean forged) {}

    private final List<TokenizerFile.AddedToken> tokens;
    private final BitSet ids = new BitSet();
    private final Node root = new Node();

    private ControlTokens(List<TokenizerFile.AddedToken> tokens) {
        this.tokens = tokens;
        for (TokenizerFile.AddedToken token : tokens) {
            ids.set(token.id());
            Node node = root;
            for (int i = 0; i < token.content().length(); i++) {
                node = node.next.computeIfAbsent(token.content().charAt(i), c -> new Node());
            }
            node.token = token;
        }
    }

    static ControlTokens of(TokenizerFile file, String templateSource) {
        List<TokenizerFile.AddedToken> control = new ArrayList<>();
        for (TokenizerFile.AddedToken token : file.addedTokens()) {
            boolean named =
                    templateSource.contains(token.content()) && !token.content().isBlank();
            boolean markup =
                    looksLikeMarkup(token.content()) && !file.inVocabulary().contains(token.content());
            if (token.special() || named || markup) {
                control.add(token);
            }
        }
        return new ControlTokens(control);
    }

    private static boolean looksLikeMarkup(String text) {
        return (text.startsWith("<") && text.endsWith(">")) || (text.startsWith("[") && text.endsWith("]"));
    }

    List<TokenizerFile.AddedToken> tokens() {
        return tokens;
    }

    boolean contains(int id) {
        return ids.get(id);
    }

    /** Finds, from left to right and longest first as the tokenizer does, the tokens in a prompt. */
    Occurrences in(String text, BitSet content) {
        List<Occurrence> written = new ArrayList<>();
        boolean forged = false;
        int claimed = 0;
        for (int start = 0; start < text.length(); start++) {
            int own = content.nextSetBit(start);
            TokenizerFile.@Nullable AddedToken longest = null;
            Node node = root.next.get(text.charAt(start));
            for (int end = start + 1; node != null; end++) {
                if (node.token != null) {
                    boolean template = own < 0 || own >= end;
                    forged |= !template;
                    longest = template ? node.token : longest;
                }
                node = end < text.length() ? node.next.get(text.charAt(end)) : null;
            }
            if (longest != null && start >= claimed) {
                claimed = start + longest.content().length();
                written.add(new Occurrence(start, claimed, longest));
            }
        }
        return new Occurrences(written, forged);
    }

    private static final class Node {
        private final Map<Character, Node> next = new HashMap<>();
        private TokenizerFile.@Nullable AddedToken token;
    }
}
