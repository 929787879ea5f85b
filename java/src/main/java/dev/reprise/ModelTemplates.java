package dev.reprise;

import java.util.ArrayList;
import java.util.List;

/** The chat templates of a model's file: a default one, perhaps, and others by name. */
final class ModelTemplates {
    private static final String DEFAULT = "tokenizer.chat_template";
    private static final String NAMED = "tokenizer.chat_template.";
    private static final String FOR_TOOLS = "tool_use";

    private ModelTemplates() {}

    /** @param name null: the default one */
    static ChatTemplate of(Metadata metadata, String name) {
        String key = name == null || name.equals("default") ? DEFAULT : NAMED + name;
        String source = text(metadata, key);
        if (source != null) {
            return ChatTemplate.of(source);
        }
        if (metadata.contains(key)) {
            throw new TemplateException("the model file's chat template (" + key + ") is no text: pass one with "
                    + "ChatOptions.builder().template(ChatTemplate.of(...))");
        }
        List<String> names = names(metadata);
        if (name == null) {
            throw new TemplateException("the model file has no chat template (" + DEFAULT + "): pass one with "
                    + "ChatOptions.builder().template(ChatTemplate.of(...))"
                    + (names.isEmpty() ? "" : ", or choose one of those that it has by name: "
                            + String.join(", ", names)));
        }
        throw new TemplateException("the model file has no chat template of the name " + name + "; it has "
                + (names.isEmpty() ? "none" : String.join(", ", names)));
    }

    /** Files that have a template for tools of its own mean it to be taken where there are some. */
    static ChatTemplate choose(Metadata metadata, String name, boolean tools) {
        return name == null && tools && text(metadata, NAMED + FOR_TOOLS) != null
                ? of(metadata, FOR_TOOLS)
                : of(metadata, name);
    }

    /** Null if it is not there; of another type it is of no use. */
    private static String text(Metadata metadata, String key) {
        return metadata.value(key).orElse(null) instanceof String text ? text : null;
    }

    static List<String> names(Metadata metadata) {
        List<String> names = new ArrayList<>();
        if (text(metadata, DEFAULT) != null) {
            names.add("default");
        }
        for (String key : metadata.keys()) {
            if (key.startsWith(NAMED) && text(metadata, key) != null) {
                names.add(key.substring(NAMED.length()));
            }
        }
        return names;
    }
}
