package io.chorale.text;

import io.chorale.text.jinja.Limits;
import io.chorale.text.jinja.Template;
import java.time.Clock;
import java.time.ZoneId;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The chat template of a model, in the Jinja it came in. Immutable and shared. */
public final class ChatTemplate {
    private final Template template;
    private final Map<String, ?> variables;

    private ChatTemplate(Template template, Map<String, ?> variables) {
        this.template = template;
        this.variables = variables;
    }

    /**
     * A template with variables that come from the model, such as {@code bos_token}.
     *
     * @throws io.chorale.text.jinja.TemplateException if the template is malformed or uses what is not supported
     */
    public static ChatTemplate parse(String source, Map<String, ?> variables) {
        return parse(source, variables, Clock.system(ZoneId.systemDefault()));
    }

    static ChatTemplate parse(String source, Map<String, ?> variables, Clock clock) {
        return new ChatTemplate(Template.parse(source, Limits.DEFAULT, clock), Map.copyOf(variables));
    }

    /**
     * Renders a conversation.
     *
     * @param extra further variables of the request, such as {@code enable_thinking}: strings, numbers, booleans,
     *     lists, maps and null. The model's variables, the messages and {@code add_generation_prompt} go before them.
     * @throws io.chorale.text.jinja.TemplateException if the template refuses the messages or cannot be rendered
     */
    public RenderedPrompt render(List<ChatMessage> messages, boolean addGenerationPrompt, Map<String, ?> extra) {
        // As transformers does, a conversation without tools says so by none instead of leaving the name undefined.
        Map<String, Object> content = new HashMap<>();
        content.put("tools", null);
        content.put("documents", null);
        content.putAll(extra);
        content.put("messages", messages.stream().map(ChatTemplate::variable).toList());
        Map<String, Object> own = new HashMap<>(variables);
        own.put("add_generation_prompt", addGenerationPrompt);
        return RenderedPrompt.of(template.render(own, content));
    }

    private static Map<String, Object> variable(ChatMessage message) {
        Map<String, Object> variable = new LinkedHashMap<>();
        variable.put("role", Template.own(message.role()));
        variable.put("content", message.content());
        message.name().ifPresent(name -> variable.put("name", name));
        return variable;
    }
}
