package dev.reprise.cli;

import dev.reprise.ChatOptions;
import dev.reprise.ContextPolicy;
import dev.reprise.ReasoningMode;
import dev.reprise.ToolChoice;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How a conversation is held: system message, tools, reasoning, template. */
final class ChatSettings {
    /** What is done with what a model thinks before it answers. */
    enum Reasoning {
        SHOW,
        HIDE,
        OFF
    }

    @Option(names = "--system", paramLabel = "TEXT", description = "The system message.")
    private String system;

    @Option(
            names = "--tools",
            paramLabel = "FILE",
            description =
                    "Tools that the model may call: a JSON array of {\"name\", \"description\", \"parameters\"}, "
                            + "each as it is "
                    + "or as OpenAI wraps it. A call is printed as one JSON object on a line of its own.")
    private Path tools;

    @Option(
            names = "--tool-choice",
            paramLabel = "auto|none|required|NAME",
            description = "Whether tools may, may not or must be called, or which one must (default: auto).")
    private String toolChoice = "auto";

    @Option(names = "--strict", description = "Arguments of calls obey the tools' schemas.")
    private boolean strict;

    @Option(
            names = "--reasoning",
            paramLabel = "show|hide|off",
            description =
                    "What the model thinks first: show it (default in a conversation; with -p, on standard "
                            + "error), hide it "
                    + "(default with -p), or have it answer at once.")
    private Reasoning reasoning;

    @Option(
            names = "--effort",
            paramLabel = "E",
            description = "How hard it thinks, where the template knows that: most often low, medium or high.")
    private String effort;

    @Option(names = "--reasoning-budget", paramLabel = "N",
            description = "The most tokens of reasoning; then the answer begins.")
    private Integer budget;

    @Option(
            names = "--drop-oldest",
            description = "Where the conversation does not fit into the context, leave out its oldest turns, but not "
                    + "the system message (default: an error).")
    private boolean dropOldest;

    @Mixin
    private TemplateOptions templateOptions;

    TemplateOptions template() {
        return templateOptions;
    }

    boolean showsReasoning(boolean otherwise) {
        return reasoning == null ? otherwise : reasoning == Reasoning.SHOW;
    }

    /** All but the template, the session and the generation. */
    ChatOptions.Builder options(Terminal terminal) {
        ChatOptions.Builder builder = ChatOptions.builder()
                .system(system)
                .tools(tools == null ? List.of() : ToolsFile.parse(terminal.readFile(tools), tools.toString()))
                .toolChoice(choice())
                .strictTools(strict)
                .reasoning(reasoning == Reasoning.OFF ? ReasoningMode.OFF : ReasoningMode.DEFAULT)
                .reasoningEffort(effort)
                .contextPolicy(dropOldest ? ContextPolicy.DROP_OLDEST : ContextPolicy.FAIL);
        if (budget != null) {
            builder.reasoningBudget(budget);
        }
        return builder;
    }

    private ToolChoice choice() {
        return switch (toolChoice.toLowerCase(Locale.ROOT)) {
            case "auto" -> ToolChoice.auto();
            case "none" -> ToolChoice.none();
            case "required" -> ToolChoice.required();
            default -> ToolChoice.named(toolChoice);
        };
    }
}
