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
import java.util.TreeMap;
import java.util.concurrent.Callable;
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
            String architecture = metadata.string("general.architecture", "");
            line("File", "%s (GGUF version %d, %s)", file, model.version(),
                    model.fileCount() == 1 ? "1 file" : model.fileCount() + " files");
            line("Name", "%s", metadata.string("general.name", "not given"));
            line("Architecture", "%s", architecture);
            line("Parameters", "%,d", model.parameterCount());
            line("Types", "%s", types(model));
            line("Size", "%s", size(model.fileBytes()));
            line("Context", "%,d tokens", metadata.integer(architecture + ".context_length", 0));
            line("Tokenizer", "%s", tokenizer(metadata));
            line("Memory", "%s", memory(model));
            String template = metadata.string("tokenizer.chat_template", "");
            line("Chat template", "%s", template.isEmpty() ? "none" : template.length() + " characters:");
            if (!template.isEmpty()) {
                out.append(template.stripTrailing().indent(2));
            }
        }
        terminal.print(visible(out.toString()));
        return ExitCode.OK;
    }

    private void line(String name, String format, Object... values) {
        out.append(String.format(Locale.ROOT, "%-14s ", name + ":"));
        out.append(String.format(Locale.ROOT, format, values)).append('\n');
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
        try {
            Tokenizer tokenizer = Tokenizer.of(metadata);
            String pre = metadata.string("tokenizer.ggml.pre", "");
            return String.format(
                    Locale.ROOT, "%s%s, %,d tokens, begin %s%s, end %s", model, pre.isEmpty() ? "" : " (" + pre + ")",
                    tokenizer.vocabularySize(), token(tokenizer, tokenizer.bosToken()),
                    tokenizer.addsBos() ? "" : " (not added)", token(tokenizer, tokenizer.eosToken()));
        } catch (UnsupportedModelException | ModelFormatException e) {
            return e.getMessage();
        }
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
