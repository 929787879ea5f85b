package dev.reprise.cli;

import dev.reprise.MemoryNeeds;
import dev.reprise.Metadata;
import dev.reprise.Metadata.Type;
import dev.reprise.ModelFile;
import dev.reprise.ModelFormatException;
import dev.reprise.TensorInfo;
import dev.reprise.Tokenizer;
import dev.reprise.UnsupportedModelException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code reprise info}. */
@Command(
        name = "info",
        description = {
            "Shows what a model file holds: architecture, parameters, types, size, context, tokenizer, chat template, "
                    + "and the memory that it needs with these options.",
            ""
        },
        sortOptions = false)
final class InfoCommand implements Callable<Integer> {
    private static final String TOKENS = "tokenizer.ggml.tokens";
    /** What decoding puts in the place of bytes that are no UTF-8. */
    private static final int REPLACEMENT = 0xFFFD;

    private final Terminal terminal;
    private final StringBuilder out = new StringBuilder();
    private String templateText = "";

    @Parameters(index = "0", paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
    private ModelArgument argument;

    @Mixin
    private LoadOptions loadOptions;

    InfoCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        Path file = argument.file(terminal);
        try (ModelFile model = ModelFile.open(file)) {
            Metadata metadata = model.metadata();
            line("File", String.format(Locale.ROOT, "%s (GGUF version %d, %s)", file, model.version(),
                    model.fileCount() == 1 ? "1 file" : model.fileCount() + " files"));
            line("Name", () -> metadata.string("general.name", "not given"));
            line("Architecture", () -> metadata.string("general.architecture", "not given"));
            line("Parameters", String.format(Locale.ROOT, "%,d", model.parameterCount()));
            line("Types", types(model));
            line("Size", size(model.fileBytes()));
            line("Context", () -> context(metadata));
            line("Tokenizer", () -> tokenizer(metadata));
            line("Memory", () -> memory(model));
            odd(metadata);
            line("Chat template", () -> template(metadata));
            out.append(templateText);
        }
        terminal.print(visible(out.toString()));
        return ExitCode.OK;
    }

    private void line(String name, String text) {
        String oneLine = text.replace("\n", "\\x0A");
        out.append(String.format(Locale.ROOT, "%-14s ", name + ":")).append(oneLine).append('\n');
    }

    /** What cannot be told, because a key is odd or unsupported, is replaced by the reason. */
    private void line(String name, Supplier<String> text) {
        String shown;
        try {
            shown = text.get();
        } catch (UnsupportedModelException | ModelFormatException e) {
            shown = e.getMessage();
        }
        line(name, shown);
    }

    private static String context(Metadata metadata) {
        String key = metadata.string("general.architecture", "") + ".context_length";
        OptionalLong length = metadata.integer(key);
        return length.isPresent()
                ? String.format(Locale.ROOT, "%,d tokens", length.getAsLong())
                : "not given (" + key + ")";
    }

    private String template(Metadata metadata) {
        String template = metadata.string("tokenizer.chat_template", "");
        templateText = template.stripTrailing().indent(2);
        return template.isEmpty() ? "none" : template.length() + " characters:";
    }

    /** What no file should have, but stops nothing. */
    private void odd(Metadata metadata) {
        for (String key : metadata.keys()) {
            Type type = metadata.type(key).orElseThrow();
            if (key.codePoints().anyMatch(c -> Character.isISOControl(c) || c == REPLACEMENT)) {
                line("Odd", "the key '" + key + "' is no printable UTF-8");
            } else if (type == Type.STRING && metadata.string(key, "").indexOf(REPLACEMENT) >= 0) {
                line("Odd", key + " is no UTF-8");
            } else if (key.startsWith("tokenizer.ggml.") && key.endsWith("_token_id") && type != Type.ARRAY) {
                oddId(metadata, key);
            }
        }
    }

    private void oddId(Metadata metadata, String key) {
        Object id = metadata.value(key).orElseThrow();
        if (!(metadata.value(TOKENS).orElse(null) instanceof List<?> tokens)) {
            return;
        }
        if (!(id instanceof Number number) || number.doubleValue() < 0 || number.doubleValue() >= tokens.size()) {
            line("Odd", key + " is " + id + ", which names no token");
        }
    }

    /** Parameters by tensor type, the most first. */
    private static String types(ModelFile model) {
        Map<String, Long> elements = new TreeMap<>();
        for (TensorInfo tensor : model.tensors()) {
            elements.merge(tensor.type(), tensor.elements(), Long::sum);
        }
        StringBuilder text = new StringBuilder();
        elements.entrySet().stream()
                .sorted(Map.Entry.<String, Long>comparingByValue().reversed())
                .forEach(entry -> text.append(text.length() == 0 ? "" : ", ")
                        .append(entry.getKey())
                        .append(String.format(
                                Locale.ROOT, " %.1f %%", 100.0 * entry.getValue() / model.parameterCount())));
        return text.toString();
    }

    private static String tokenizer(Metadata metadata) {
        String model = metadata.string("tokenizer.ggml.model", "");
        if (model.isEmpty()) {
            return "none";
        }
        Tokenizer tokenizer = Tokenizer.of(metadata);
        String pre = model.equals("gpt2") ? metadata.string("tokenizer.ggml.pre", "") : "";
        return String.format(
                Locale.ROOT, "%s%s, %,d tokens, begin %s%s, end %s", model, pre.isEmpty() ? "" : " (" + pre + ")",
                tokenizer.vocabularySize(), token(tokenizer, tokenizer.bosToken()),
                tokenizer.addsBos() ? "" : " (not added)", token(tokenizer, tokenizer.eosToken()));
    }

    private static String token(Tokenizer tokenizer, OptionalInt id) {
        return id.isEmpty() ? "none" : id.getAsInt() + " " + tokenizer.tokenText(id.getAsInt());
    }

    private String memory(ModelFile model) {
        try {
            MemoryNeeds needs = model.memoryNeeds(loadOptions.model().build(), loadOptions.session());
            return size(needs.total()) + ": weights " + size(needs.weights()) + ", KV cache " + size(needs.kvCache())
                    + ", workspace " + size(needs.workspace());
        } catch (UnsupportedModelException | ModelFormatException e) {
            return "cannot be run: " + e.getMessage();
        }
    }

    /** Control characters, which a file may have to do things to a terminal, by number. */
    private static String visible(String text) {
        StringBuilder shown = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (Character.isISOControl(c) && c != '\n' && c != '\t') {
                shown.append(String.format("\\x%02X", c));
            } else {
                shown.appendCodePoint(c);
            }
        });
        return shown.toString();
    }

    private static String size(long bytes) {
        return bytes < 1_000_000_000
                ? String.format(Locale.ROOT, "%.1f MB", bytes / 1e6)
                : String.format(Locale.ROOT, "%.2f GB", bytes / 1e9);
    }
}
