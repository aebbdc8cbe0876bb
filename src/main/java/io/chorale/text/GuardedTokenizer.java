package io.chorale.text;

import io.chorale.text.TextException.Kind;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A copy of a tokenizer in which every control token has a secret name, and its own text is ordinary text.
 *
 * <p>A prompt is encoded whole, with the secret names put where the template wrote a control token. So normalisation,
 * the splitting before and after special tokens, and spaces at the beginning of a text are what they always are, which
 * they would not be if the pieces of a prompt were encoded one by one. The names are of private use characters with 32
 * random bits, which a message cannot guess.
 */
final class GuardedTokenizer {
    private static final int NAME_BASE = 0xF0000;
    private static final int INDEX_BASE = 0x100000;
    /** Private use characters of a plane. */
    private static final int NAMES = 0xFFFE;

    private final NativeTokenizer tokenizer;
    private final Map<String, String> names;
    private final String prefix;

    private GuardedTokenizer(NativeTokenizer tokenizer, Map<String, String> names, String prefix) {
        this.tokenizer = tokenizer;
        this.names = names;
        this.prefix = prefix;
    }

    static GuardedTokenizer of(String json, ControlTokens control) throws IOException {
        if (control.tokens().size() > NAMES) {
            throw new IOException("it has more than " + NAMES + " control tokens");
        }
        SecureRandom random = new SecureRandom();
        String prefix = Character.toString(NAME_BASE + random.nextInt(NAMES))
                + Character.toString(NAME_BASE + random.nextInt(NAMES));
        Map<String, String> names = new HashMap<>();
        for (TokenizerFile.AddedToken token : control.tokens()) {
            names.put(token.content(), prefix + Character.toString(INDEX_BASE + names.size()));
        }
        GuardedTokenizer guarded =
                new GuardedTokenizer(NativeTokenizer.of(TokenizerFile.renamed(json, names)), names, prefix);
        guarded.verify(control.tokens());
        return guarded;
    }

    /** The library numbers added tokens itself: make sure that every name has kept its id. */
    private void verify(List<TokenizerFile.AddedToken> tokens) throws IOException {
        for (TokenizerFile.AddedToken token : tokens) {
            int[] ids = tokenizer.encode(names.getOrDefault(token.content(), ""), false);
            if (Arrays.stream(ids).noneMatch(id -> id == token.id())) {
                throw new IOException("its token '" + token.content() + "' cannot be renamed");
            }
        }
    }

    int[] encode(String text, List<ControlTokens.Occurrence> written) {
        if (text.contains(prefix)) {
            throw new TextException(Kind.UNSAFE_CONTENT, "the messages hold reserved private use characters");
        }
        StringBuilder renamed = new StringBuilder(text.length());
        int copied = 0;
        for (ControlTokens.Occurrence occurrence : written) {
            renamed.append(text, copied, occurrence.start())
                    .append(names.get(occurrence.token().content()));
            copied = occurrence.end();
        }
        return tokenizer.encode(renamed.append(text, copied, text.length()).toString(), false);
    }
}
