package dev.reprise.cli;

import dev.reprise.ChatTemplate;
import dev.reprise.ModelFile;
import dev.reprise.TemplateException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Which template writes a conversation. */
final class TemplateOptions {
    @Option(
            names = "--template",
            paramLabel = "FILE",
            description = "A chat template in Jinja's notation (default: the model file's).")
    private Path template;

    @Option(
            names = "--template-name",
            paramLabel = "NAME",
            description = "Which of the model file's templates, where it has several.")
    private String name;

    boolean fromFile() {
        return template != null;
    }

    /** The template of the file; no model is needed for it. */
    ChatTemplate read(Terminal terminal) {
        if (name != null) {
            throw new IllegalArgumentException(
                    "--template and --template-name exclude each other: the one is a file, the "
                    + "other chooses among the model file's templates");
        }
        return ChatTemplate.of(terminal.readFile(template));
    }

    ChatTemplate choose(ModelFile model, boolean tools, Terminal terminal) {
        if (fromFile()) {
            return read(terminal);
        }
        try {
            return model.chatTemplate(name, tools);
        } catch (TemplateException e) {
            throw new TemplateException(
                    model.path() + ": " + e.getMessage() + "; here that is --template FILE or --template-name NAME", e);
        }
    }
}
