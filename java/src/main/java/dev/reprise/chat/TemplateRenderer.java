package dev.reprise.chat;

/** Renders one chat template. */
@FunctionalInterface
public interface TemplateRenderer {
    /**
     * The text that the template makes of these variables.
     *
     * @param variables a JSON object
     * @throws dev.reprise.TemplateException if the template is malformed or raises an error
     */
    String render(String variables);
}
