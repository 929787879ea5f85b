package dev.reprise.cli;

import dev.reprise.Constraint;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** What the text has to obey: one of these, or none. */
final class ConstraintOptions {
    @Option(
            names = "--json-schema",
            paramLabel = "FILE",
            description = "The text is compact JSON that this JSON schema allows.")
    private Path jsonSchema;

    @Option(names = "--regex", paramLabel = "REGEX", description = "This regular expression matches the whole text.")
    private String regex;

    @Option(names = "--gbnf", paramLabel = "FILE",
            description = "The text is of this grammar in GBNF, llama.cpp's notation.")
    private Path gbnf;

    @Option(names = "--lark", paramLabel = "FILE", description = "The text is of this grammar in Lark's notation.")
    private Path lark;

    /** Null if there is none. */
    Constraint constraint(Terminal terminal) {
        if (jsonSchema != null) {
            return Constraint.jsonSchema(terminal.readFile(jsonSchema));
        } else if (regex != null) {
            return Constraint.regex(regex);
        } else if (gbnf != null) {
            return Constraint.gbnf(terminal.readFile(gbnf));
        } else if (lark != null) {
            return Constraint.lark(terminal.readFile(lark));
        }
        return null;
    }
}
