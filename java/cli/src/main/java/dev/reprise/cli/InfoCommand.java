package dev.reprise.cli;

import dev.reprise.MemoryNeeds;
import dev.reprise.Metadata;
import dev.reprise.ModelFile;
import dev.reprise.ModelFormatException;
import dev.reprise.TensorInfo;
import dev.reprise.Tokenizer;
import dev.reprise.UnsupportedModelException;
import java.nio.file.Path;
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
            "Shows what a model file holds: architecture, parameters, types, size, context, tokenizer, chat template, and the "
                    + "memory that it needs with these options.",
            ""
        },
        sortOptions = false)
final class InfoCommand implements Callable<Integer> {
    private final Terminal terminal;
    private final StringBuilder out = new StringBuilder();

    @Parameters(index = "0", paramLabel = "MODEL", description = "A GGUF file, the first one of a split model.")
    private Path file;

    @Mixin
    private LoadOptions loadOptions;

    InfoCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
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
        }
        terminal.print(visible(out.toString()));
        return ExitCode.OK;
    }

    private void line(String name, String text) {
        out.append(String.format(Locale.ROOT, "%-14s ", name + ":")).append(text).append('\n');
    }

    /** What cannot be told, because a key is odd or unsupported, is replaced by the reason. */
    private void line(String name, Supplier<String> text) {
        String shown;
        try {
            shown = text.get();
        } catch (UnsupportedModelException | ModelFormatException e) {
            shown = "cannot be told: " + e.getMessage();
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

    private static String template(Metadata metadata) {
        String template = metadata.string("tokenizer.chat_template", "");
        return template.isEmpty()
                ? "none"
                : template.length() + " characters:\n" + template.stripTrailing().indent(2).stripTrailing();
    }

    /** Keys and texts that no file should have. They stop nothing. */
    private void odd(Metadata metadata) {
        for (String key : metadata.keys()) {
            if (key.codePoints().anyMatch(c -> Character.isISOControl(c) || c == 0xFFFD)) {
                line("Odd", "the name of the key '" + key.replace("\n", "\\x0A").replace("\t", "\\x09")
                        + "' is no printable UTF-8");
            } else if (metadata.type(key).orElseThrow() == Metadata.Type.STRING
                    && metadata.string(key, "").indexOf(0xFFFD) >= 0) {
                line("Odd", "the value of " + key + " is no UTF-8");
            }
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
