package dev.reprise;

import dev.reprise.chat.LarkSchema;
import dev.reprise.json.Json;
import java.util.Map;
import java.util.Objects;

/**
 * What limits the text of a generation: every token that is drawn keeps the text within it, and a generation that ends
 * by itself has a whole text of it. Immutable; compiled for a model where it is used first.
 */
public final class Constraint {
    /** In which language the source is written. */
    enum Kind {
        JSON_SCHEMA,
        REGEX,
        LARK,
        GBNF
    }

    private final Kind kind;
    private final String source;

    private Constraint(Kind kind, String source) {
        this.kind = kind;
        this.source = Objects.requireNonNull(source, "source");
    }

    /**
     * Compact JSON that a schema (draft 2020-12, the subset that can be enforced) allows; the properties of an object
     * come in the schema's order. What cannot be enforced is refused by name where the constraint is used.
     */
    public static Constraint jsonSchema(String schema) {
        return new Constraint(Kind.JSON_SCHEMA, schema);
    }

    /** Text that a regular expression matches as a whole. */
    public static Constraint regex(String pattern) {
        return new Constraint(Kind.REGEX, pattern);
    }

    /** Text of a grammar in Lark's notation, whose start rule is {@code start}. */
    public static Constraint lark(String grammar) {
        return new Constraint(Kind.LARK, grammar);
    }

    /** Text of a grammar in GBNF, llama.cpp's notation, whose start rule is {@code root}. */
    public static Constraint gbnf(String grammar) {
        return new Constraint(Kind.GBNF, grammar);
    }

    /**
     * As the right side of a rule in Lark's notation.
     *
     * @throws UnsupportedOperationException for grammars
     */
    String asRule() {
        return switch (kind) {
            case JSON_SCHEMA -> compactJson();
            case REGEX -> "/" + source.replace("/", "\\/") + "/";
            case LARK, GBNF -> throw new UnsupportedOperationException(
                    "an answer that may call tools can obey a JSON schema or a regular expression, not a grammar");
        };
    }

    private String compactJson() {
        if (!(Json.parse(source) instanceof Map<?, ?> schema)) {
            throw new IllegalArgumentException("the JSON schema is no object: " + source);
        }
        return LarkSchema.compact(schema);
    }

    Kind kind() {
        return kind;
    }

    String source() {
        return source;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Constraint that && kind == that.kind && source.equals(that.source);
    }

    @Override
    public int hashCode() {
        return Objects.hash(kind, source);
    }

    @Override
    public String toString() {
        return "Constraint[" + kind + " " + source + "]";
    }
}
