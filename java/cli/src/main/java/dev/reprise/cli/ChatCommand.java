package dev.reprise.cli;

import dev.reprise.Chat;
import dev.reprise.ChatAnswer;
import dev.reprise.ChatOptions;
import dev.reprise.ChatStream;
import dev.reprise.ChatTemplate;
import dev.reprise.Model;
import dev.reprise.ModelFile;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code reprise chat}. */
@Command(
        name = "chat",
        description = {
            "Talks with a chat model. /help tells the commands of a conversation. Where standard input is no "
                    + "terminal, every line "
                    + "of it is a message or a command.",
            "With -p one answer goes to standard output as it is generated, statistics follow on standard error.",
            ""
        },
        sortOptions = false)
final class ChatCommand implements Callable<Integer> {
    private final Terminal terminal;

    @Spec
    private CommandSpec spec;

    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = ModelArgument.DESCRIPTION)
    private ModelArgument argument;

    @Option(
            names = {"-p", "--prompt"},
            paramLabel = "TEXT",
            description = "Answer this message and end.")
    private String prompt;

    @Mixin
    private ChatSettings settings;

    @Mixin
    private TextOptions textOptions;

    @Mixin
    private LoadOptions loadOptions;

    ChatCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        if (argument == null) {
            throw new ParameterException(
                    spec.commandLine(),
                    "MODEL is missing: the GGUF file or the name of a chat model (the bundled story model does not "
                            + "chat)");
        }
        if (textOptions.ids() && prompt == null) {
            throw new ParameterException(spec.commandLine(), "--ids needs -p: a conversation is text");
        }
        ChatOptions.Builder builder = settings.options(terminal)
                .session(loadOptions.session())
                .generation(textOptions.generation(terminal).build());
        Path file = argument.file(terminal);
        boolean tools = !builder.build().tools().isEmpty();
        ChatOptions options = builder.template(template(file, tools)).build();
        try (Model model = ModelLoader.load(file, loadOptions.model(), terminal)) {
            return prompt != null ? answer(model, options) : converse(model, options);
        }
    }

    /** Before the weights are loaded, since many a model has none. */
    private ChatTemplate template(Path file, boolean tools) {
        try (ModelFile model = ModelFile.open(file)) {
            return settings.template().choose(model, tools, terminal);
        }
    }

    private int converse(Model model, ChatOptions options) {
        boolean shows = settings.showsReasoning(true);
        try (LineSource lines = terminal.inIsTerminal() ? new TerminalLines() : new PipedLines(terminal);
                Conversation conversation = new Conversation(model, options, shows, lines, terminal)) {
            Interruption interruption = Interruption.cancels(conversation::cancel);
            try {
                return conversation.run();
            } finally {
                interruption.forget();
            }
        }
    }

    private int answer(Model model, ChatOptions options) {
        boolean ids = textOptions.ids();
        try (Chat chat = model.newChat(options)) {
            Interruption interruption = Interruption.cancels(chat::cancel);
            try (ChatStream stream = chat.send(prompt)) {
                AnswerPrinter printer = new AnswerPrinter(
                        ids ? text -> {} : terminal::print,
                        settings.showsReasoning(false) ? terminal.err()::print : null,
                        terminal.errIsTerminal());
                ChatAnswer answer = printer.print(stream);
                if (ids) {
                    StringBuilder out = new StringBuilder();
                    for (int id : answer.ids()) {
                        out.append(id).append('\n');
                    }
                    terminal.print(out.toString());
                }
                terminal.err().println(statistics(answer, model));
                return ExitCode.of(answer.finishReason(), answer.constraintMet());
            } finally {
                interruption.forget();
            }
        }
    }

    private static String statistics(ChatAnswer answer, Model model) {
        return String.format(
                Locale.ROOT, "%d prompt tokens, %d generated on %s; ended: %s; seed %d", answer.promptTokens(),
                answer.tokens().size(), model.info().device(), answer.finishReason(), answer.seed());
    }
}
