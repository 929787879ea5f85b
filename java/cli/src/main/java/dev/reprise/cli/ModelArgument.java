package dev.reprise.cli;

import dev.reprise.HuggingFace;
import dev.reprise.ModelNotFoundException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;
import picocli.CommandLine.TypeConversionException;

/**
 * The MODEL of a command: a GGUF file, or the name of a model on Hugging Face. What exists is a file. Of the rest, what
 * has the form of a name is one; so {@code ./owner/repo} and what ends in {@code .gguf} never are.
 */
final class ModelArgument {
    /** For help texts. */
    static final String DESCRIPTION =
            "A GGUF file, the first one of a split model; or a model on Hugging Face as OWNER/REPO[:QUANT], which is "
                    + "fetched first.";

    private final String text;
    private final Path path;

    private ModelArgument(String text, Path path) {
        this.text = text;
        this.path = path;
    }

    /** From the command line. */
    static ModelArgument of(String text) {
        try {
            return new ModelArgument(text, Path.of(text));
        } catch (InvalidPathException e) {
            throw new TypeConversionException("'" + text + "' is no path: " + e.getReason());
        }
    }

    /** What it is called: of a file its name, without what all of them end with, or the first part of a split model. */
    String name() {
        if (HuggingFace.isName(text) && !Files.exists(path)) {
            return text;
        }
        return path.getFileName().toString().replaceFirst("(-\\d{5}-of-\\d{5})?\\.gguf$", "");
    }

    /** The file; of a model that is named, once it is fetched. */
    Path file(Terminal terminal) {
        if (Files.exists(path)) {
            return path;
        } else if (HuggingFace.isName(text)) {
            try {
                return FetchProgress.fetch(HuggingFace.of(text), terminal);
            } catch (ModelNotFoundException e) {
                throw new ModelNotFoundException("there is no file " + text + " here, and by that name: "
                        + e.getMessage(), e);
            }
        } else if (!text.toLowerCase(Locale.ROOT).endsWith(".gguf")) {
            throw new UncheckedIOException(
                    "cannot open " + text + ": there is no such file, and a model's name would have the form "
                            + "OWNER/REPO or OWNER/REPO:QUANT",
                    new NoSuchFileException(text));
        }
        return path;
    }
}
