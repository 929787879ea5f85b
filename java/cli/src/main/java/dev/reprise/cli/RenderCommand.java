package dev.reprise.cli;

import dev.reprise.ChatTemplate;
import dev.reprise.ModelFile;
import dev.reprise.Tokenizer;
import dev.reprise.json.Json;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code reprise render}. */
@Command(
        name = "render",
        description = {
            "Prints what a chat template makes of a conversation and nothing else, not even a line end. Needs "
                    + "the tokenizer and "
                    + "the template of the model file alone, so any architecture will do; with --template, no "
                    + "model at all.",
            ""
        },
        sortOptions = false)
final class RenderCommand implements Callable<Integer> {
    private final Terminal terminal;

    @Spec
    private CommandSpec spec;

    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = "Whose template, begin and end tokens are taken: " + ModelArgument.DESCRIPTION)
    private ModelArgument argument;

    @Option(
            names = "--input",
            required = true,
            paramLabel = "FILE",
            description =
                    "A JSON object with the template's variables: messages, tools and any others, passed as they "
                            + "are; - "
                    + "is standard input. Where they are not in it, add_generation_prompt is true, and bos_token "
                    + "and eos_token "
                    + "are the model's.")
    private Path input;

    @Mixin
    private TemplateOptions templateOptions;

    @Option(
            names = "--now",
            paramLabel = "YYYY-MM-DD",
            description = "The day that templates which show one take for today (default: today).")
    private LocalDate now;

    @Option(
            names = "--ids",
            description =
                    "Print the token ids, one per line, as 'reprise chat' feeds them to the model, instead of text.")
    private boolean ids;

    RenderCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        if (argument == null && ids) {
            throw new ParameterException(spec.commandLine(), "--ids needs MODEL, whose token ids they are");
        }
        if (argument == null && !templateOptions.fromFile()) {
            throw new ParameterException(spec.commandLine(), "a template is missing: name a MODEL or --template FILE");
        }
        Map<String, Object> defaults = new LinkedHashMap<>();
        if (argument == null) {
            ChatTemplate template = templateOptions.read(terminal);
            terminal.print(template.render(variables(defaults), now));
            return ExitCode.OK;
        }
        try (ModelFile model = ModelFile.open(argument.file(terminal))) {
            Tokenizer tokenizer = Tokenizer.of(model.metadata());
            defaults.put("bos_token", text(tokenizer, tokenizer.bosToken()));
            defaults.put("eos_token", text(tokenizer, tokenizer.eosToken()));
            String variables = variables(defaults);
            boolean tools = parse(variables).get("tools") instanceof List<?> list && !list.isEmpty();
            ChatTemplate template = templateOptions.choose(model, tools, terminal);
            terminal.print(ids ? lines(template.encode(variables, tokenizer, now)) : template.render(variables, now));
        }
        return ExitCode.OK;
    }

    private static String text(Tokenizer tokenizer, OptionalInt token) {
        return token.isPresent() ? tokenizer.tokenText(token.getAsInt()) : "";
    }

    private static String lines(int[] ids) {
        StringBuilder out = new StringBuilder();
        for (int id : ids) {
            out.append(id).append('\n');
        }
        return out.toString();
    }

    /** The JSON text of the input with what is missing put in front: numbers and all stay as they are written. */
    private String variables(Map<String, Object> defaults) {
        String text = terminal.readFile(input);
        Map<?, ?> given = parse(text);
        defaults.put("add_generation_prompt", true);
        defaults.keySet().removeIf(given::containsKey);
        if (defaults.isEmpty()) {
            return text;
        }
        String added = Json.write(defaults);
        String rest = text.substring(text.indexOf('{') + 1);
        return added.substring(0, added.length() - 1) + (given.isEmpty() ? "" : ",") + rest;
    }

    private Map<?, ?> parse(String text) {
        Object value;
        try {
            value = Json.parse(text);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(input + ": " + e.getMessage(), e);
        }
        if (value instanceof Map<?, ?> map) {
            return map;
        }
        throw new IllegalArgumentException(input
                + " holds no JSON object of template variables, such as {\"messages\": "
                + "[{\"role\": \"user\", \"content\": \"Hello\"}]}");
    }
}
