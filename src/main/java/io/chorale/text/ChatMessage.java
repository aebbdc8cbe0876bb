package io.chorale.text;

import java.util.Optional;
import java.util.Set;

/**
 * A message of a conversation.
 *
 * @param role one of {@link #ROLES}: templates build special tokens from it, so it is never free text
 * @param name who speaks, where a client says so
 */
public record ChatMessage(String role, String content, Optional<String> name) {
    /** The roles that OpenAI's API knows. */
    public static final Set<String> ROLES = Set.of("system", "developer", "user", "assistant", "tool", "function");

    public ChatMessage {
        if (!ROLES.contains(role)) {
            throw new IllegalArgumentException("no role of a chat message: " + role);
        }
    }

    public ChatMessage(String role, String content) {
        this(role, content, Optional.empty());
    }
}
