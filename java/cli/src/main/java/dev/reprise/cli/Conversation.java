package dev.reprise.cli;

import dev.reprise.CancelledException;
import dev.reprise.Chat;
import dev.reprise.ChatAnswer;
import dev.reprise.ChatOptions;
import dev.reprise.ChatStream;
import dev.reprise.Constraint;
import dev.reprise.EngineFailedException;
import dev.reprise.Message;
import dev.reprise.Model;
import dev.reprise.RepriseException;
import dev.reprise.Role;
import dev.reprise.SessionStatistics;
import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.ToolChoice;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A conversation, message by message, with commands between them. */
final class Conversation implements AutoCloseable {
    private static final String HELP = """
            What begins with / is a command, all else a message. A line that ends with \\ goes on in the next one.
              /system [TEXT]   the system message; with TEXT, another one; 'off', none
              /reset           begins anew
              /save FILE       saves the conversation
              /load FILE       goes on with a saved one
              /stats           tokens, times and memory
              /tools [FILE]    the tools; from a file, other ones; 'off', none
              /schema [FILE]   the JSON schema that answers obey; from a file, another one; 'off', none
              /quit            leaves, as Ctrl-D does
            Ctrl-C stops an answer.
            """;

    private final Model model;
    private final boolean showsReasoning;
    private final LineSource lines;
    private final Terminal terminal;
    private final boolean styled;

    private volatile Chat chat;
    private ChatOptions options;
    private String system;
    private String schema;
    private ChatAnswer last;

    Conversation(Model model, ChatOptions options, boolean showsReasoning, LineSource lines, Terminal terminal) {
        this.model = model;
        this.options = options;
        this.showsReasoning = showsReasoning;
        this.lines = lines;
        this.terminal = terminal;
        styled = terminal.outIsTerminal() && !"dumb".equals(System.getenv("TERM"));
        system = options.system().orElse(null);
        chat = model.newChat(options);
    }

    /** Until it is left; the program's exit code. */
    int run() {
        lines.onInterrupt(this::cancel);
        if (lines.interactive()) {
            say(model.info().device() + ", " + chat.contextLength()
                    + " tokens of context. /help tells the commands, Ctrl-D leaves.");
        }
        for (String line = lines.read("> "); line != null; line = lines.read("> ")) {
            if (line.isBlank()) {
                continue;
            }
            try {
                if (!line.startsWith("/")) {
                    send(Message.user(line));
                } else if (!command(line.strip())) {
                    break;
                }
            } catch (EngineFailedException e) {
                throw e;
            } catch (CancelledException e) {
                say("(stopped)");
            } catch (RepriseException
                    | IllegalArgumentException
                    | UnsupportedOperationException
                    | UncheckedIOException e) {
                if (!lines.interactive()) {
                    throw e;  // a script wants to know
                }
                say(Main.message(e));
            }
        }
        return ExitCode.OK;
    }

    /** Stops the answer in progress. */
    void cancel() {
        chat.cancel();
    }

    @Override
    public void close() {
        chat.close();
    }

    private void say(String text) {
        terminal.err().println(text);
    }

    // ---- messages --------------------------------------------------------------------------------------------------

    private void send(Message message) {
        List<Message> next = List.of(message);
        ChatOptions turn = options;
        while (!next.isEmpty()) {
            try (ChatStream stream = chat.send(next, turn)) {
                AnswerPrinter printer =
                        new AnswerPrinter(terminal::print, showsReasoning ? terminal::print : null, styled);
                last = printer.print(stream);
            }
            switch (last.finishReason()) {
                case MAX_TOKENS -> say("(cut after " + last.tokens().size() + " tokens: -n)");
                case CONTEXT_FULL ->
                        say("(cut: the context of " + chat.contextLength() + " tokens is full; /reset begins anew)");
                case CANCELLED -> say("(stopped)");
                default -> {
                    // It ended by itself.
                }
            }
            next = results(last.toolCalls());
            if (turn.toolChoice().forcesCall()) {
                // It has called what it had to; were it forced again, it could never tell what came of it.
                turn = turn.toBuilder().toolChoice(ToolChoice.auto()).build();
            }
        }
    }

    /** Whoever talks here is the tools, too. */
    private List<Message> results(List<ToolCall> calls) {
        List<Message> results = new ArrayList<>();
        for (ToolCall call : calls) {
            String result = lines.read("result of " + call.name() + "> ");
            if (result == null || result.isBlank()) {
                return List.of();
            }
            results.add(Message.tool(call, result));
        }
        return results;
    }

    // ---- commands --------------------------------------------------------------------------------------------------

    /** False if it leaves. */
    private boolean command(String line) {
        String[] words = line.split("\\s+", 2);
        String argument = words.length > 1 ? words[1] : "";
        switch (words[0]) {
            case "/help" -> terminal.print(HELP);
            case "/system" -> system(argument);
            case "/reset" -> {
                chat.reset();
                chat.system(system);
                last = null;
                say("Begun anew.");
            }
            case "/save" -> {
                chat.save(file(words[0], argument));
                say("Saved " + chat.messages().size() + " messages, " + chat.position() + " tokens.");
            }
            case "/load" -> load(file(words[0], argument));
            case "/stats" -> terminal.print(statistics());
            case "/tools" -> tools(argument);
            case "/schema" -> schema(argument);
            case "/quit", "/exit" -> {
                return false;
            }
            default -> throw new IllegalArgumentException("there is no command " + words[0]
                    + "; /help tells those that there are");
        }
        return true;
    }

    private static Path file(String command, String argument) {
        if (argument.isEmpty()) {
            throw new IllegalArgumentException(command + " needs the name of a file");
        }
        return path(argument);
    }

    /** Of the user's home folder where it begins with ~, as shells have it. */
    private static Path path(String name) {
        return name.startsWith("~/") ? Path.of(System.getProperty("user.home"), name.substring(2)) : Path.of(name);
    }

    private void system(String text) {
        if (!text.isEmpty()) {
            system = text.equals("off") ? null : text;
            chat.system(system);
        }
        terminal.print((system == null ? "no system message" : system) + "\n");
    }

    private void load(Path file) {
        Chat loaded = model.restoreChat(file, options);
        chat.close();
        chat = loaded;
        last = null;
        List<Message> messages = chat.messages();
        system = messages.stream().findFirst()
                .filter(message -> message.role() == Role.SYSTEM)
                .map(Message::text)
                .orElse(null);
        say("Loaded " + messages.size() + " messages, " + chat.position() + " tokens.");
    }

    private void tools(String file) {
        if (!file.isEmpty()) {
            List<Tool> tools = file.equals("off") ? List.of() : ToolsFile.parse(terminal.readFile(path(file)), file);
            options = options.toBuilder().tools(tools).build();
        }
        if (options.tools().isEmpty()) {
            terminal.print("no tools\n");
        }
        for (Tool tool : options.tools()) {
            terminal.print(tool.name() + (tool.description().isEmpty() ? "" : ": " + tool.description()) + "\n");
        }
    }

    private void schema(String file) {
        if (file.equals("off")) {
            constrain(null);
            schema = null;
        } else if (!file.isEmpty()) {
            String text = terminal.readFile(path(file));
            constrain(Constraint.jsonSchema(text));
            schema = text.strip();
        }
        terminal.print((schema == null ? "no schema" : schema) + "\n");
    }

    private void constrain(Constraint constraint) {
        options = options.toBuilder()
                .generation(options.generation().toBuilder().constraint(constraint).build())
                .build();
    }

    private String statistics() {
        SessionStatistics counts = chat.statistics();
        StringBuilder out = new StringBuilder();
        out.append(String.format(
                Locale.ROOT, "%d messages; %d of %d tokens of context%n", chat.messages().size(), chat.position(),
                chat.contextLength()));
        out.append(String.format(
                Locale.ROOT, "prompts: %d tokens evaluated%s; answers: %d tokens%s%n", counts.prefillTokens(),
                speed(counts.prefillTokens(), counts.prefillTime().toNanos()), counts.generatedTokens(),
                speed(counts.generatedTokens(), counts.decodeTime().toNanos())));
        if (last != null) {
            out.append(String.format(
                    Locale.ROOT,
                            "last answer: %d tokens behind %d, of which %d were evaluated for it; ended: %s; seed %d%n",
                    last.tokens().size(), last.promptTokens(), last.evaluatedTokens(), last.finishReason(),
                            last.seed()));
        }
        out.append(String.format(
                Locale.ROOT, "KV cache %.1f MB, workspace %.1f MB, on %s%n", counts.kvBytes() / 1e6,
                counts.workspaceBytes() / 1e6, model.info().device()));
        return out.toString();
    }

    private static String speed(long tokens, long nanoseconds) {
        return nanoseconds == 0 ? "" : String.format(Locale.ROOT, " at %.1f/s", tokens * 1e9 / nanoseconds);
    }
}
