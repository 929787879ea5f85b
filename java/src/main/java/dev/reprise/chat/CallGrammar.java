package dev.reprise.chat;

import dev.reprise.Tool;
import dev.reprise.chat.CallSyntax.Piece;
import dev.reprise.chat.CallSyntax.Style;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Writes grammars, in the Lark-like notation of llguidance, of answers that call tools as a template writes calls. */
final class CallGrammar {
    /** More calls in one answer are not allowed where one is forced: a grammar has to end. */
    private static final int MAX_CALLS = 8;

    private final CallSyntax syntax;
    private final LarkWriter lark;
    /** Of the tool in work: what its schema's parts refer to, by "$defs" and "definitions". */
    private Map<String, Object> definitions = Map.of();
    private int depth;

    CallGrammar(CallSyntax syntax, Map<String, Integer> special) {
        this.syntax = syntax;
        lark = new LarkWriter(special);
    }

    /** One call or more, and nothing else. */
    String forced(List<Tool> tools, boolean single) {
        return "start: " + calls(tools, single) + "\n" + lark.rules();
    }

    /** Text without a call. */
    String none() {
        String begin = syntax.begin().strip();
        String text = begin.isEmpty() ? "/([^{\\[](?s:.*))?/"
                : beginsWithToken(begin) ? "/(?s:.*)/" : textWithout(LarkWriter.regexQuote(begin));
        return "start: TEXT\nTEXT: " + text + "\n";
    }

    /** Control tokens come where a grammar names them, and never as text. */
    private boolean beginsWithToken(String begin) {
        return lark.tokens().stream().anyMatch(begin::startsWith);
    }

    private static String textWithout(String pattern) {
        return "~/(?s:.*)" + pattern + "(?s:.*)/";
    }

    /**
     * Text, or calls whose arguments obey their schemas behind it.
     *
     * @param text the grammar of the text, as what stands on the right of a rule; null: any
     */
    String optional(List<Tool> tools, String text) {
        String calls = calls(tools, false);
        String begin = syntax.begin().strip();
        if (text != null) {
            return "start: " + calls + " | " + text + "\n" + lark.rules();
        } else if (begin.isEmpty()) {
            // An answer that begins as a call does is one.
            return "start: " + calls + " | TEXT\nTEXT: /[^{\\[](?s:.*)/\n" + lark.rules();
        } else if (beginsWithToken(begin)) {
            return "start: TEXT | TEXT " + calls + "\nTEXT: /(?s:.*)/\n" + lark.rules();
        }
        String pattern = LarkWriter.regexQuote(begin);
        return "start: TEXT | UNTIL " + callsBehindBegin(tools) + " | " + calls + "\n"
                + "TEXT: " + textWithout(pattern) + "\nUNTIL[lazy]: /(?s:.*?)" + pattern + "/\n" + lark.rules();
    }

    private String callsBehindBegin(List<Tool> tools) {
        return repeated(tools, false, "");
    }

    private String calls(List<Tool> tools, boolean single) {
        return repeated(tools, single, lark.literal(syntax.begin().strip()));
    }

    private String repeated(List<Tool> tools, boolean single, String begin) {
        List<String> one = new ArrayList<>();
        for (Tool tool : tools) {
            one.add(call(tool));
        }
        String call = lark.rule(String.join(" | ", one));
        boolean list = syntax.style() == Style.CALL_JSON && syntax.json().list();
        String between = list ? "\",\"" : syntax.between() == null ? null : lark.literal(separator(syntax.between()));
        // A number of the call counts them, and a grammar does not.
        boolean several =
                !single && between != null && syntax.head().stream().noneMatch(p -> p.kind() == Piece.Kind.INDEX);
        String more = several ? " (" + between + " " + call + "){0," + (MAX_CALLS - 1) + "}" : "";
        String end = lark.literal(withoutLastToken(syntax.end()));
        return begin + " " + (list ? "\"[\" " : "") + call + more + (list ? " \"]\"" : "") + " " + end;
    }

    private static String separator(String between) {
        return between.isBlank() ? "\n" : between;
    }

    /** What ends a turn behind the calls is the end token's matter. */
    private String withoutLastToken(String end) {
        String stripped = end.stripTrailing();
        for (String token : lark.tokens()) {
            boolean ofTheTurn = stripped.equals(token) && syntax.style() != Style.CALL_JSON && syntax.between() == null;
            if (ofTheTurn) {
                return "";
            }
        }
        return stripped;
    }

    private String call(Tool tool) {
        Map<?, ?> schema = (Map<?, ?>) Json.parse(tool.parameters());
        definitions = definitions(schema);
        if (syntax.style() == Style.CALL_JSON) {
            return LarkSchema.spaced(callSchema(tool, schema));
        }
        StringBuilder call = new StringBuilder();
        for (Piece piece : syntax.head()) {
            call.append(switch (piece.kind()) {
                case LITERAL -> lark.literal(piece.literal());
                case NAME -> LarkWriter.quote(tool.name());
                case ID -> "/[a-z0-9]{9}/";
                case INDEX -> "\"0\"";
            }).append(' ');
        }
        return call.append(switch (syntax.style()) {
            case JSON -> LarkSchema.spaced(ofObjects(schema));
            case LITERAL -> "\"{\" " + members(tool, schema, ":", 0, true) + " \"}\"";
            case KEYWORDS -> members(tool, schema, "=", 0, true) + " \")\"";
            default -> tags(tool, schema);
        }).toString();
    }

    private static Map<String, Object> definitions(Map<?, ?> schema) {
        Map<String, Object> found = new LinkedHashMap<>();
        for (String key : List.of("$defs", "definitions")) {
            if (schema.get(key) instanceof Map<?, ?> map) {
                found.put(key, map);
            }
        }
        return found;
    }

    /** What a part of a schema refers to, if it does. */
    private Map<?, ?> resolved(Map<?, ?> schema) {
        Map<?, ?> found = schema;
        for (int hops = 0; found.get("$ref") instanceof String reference; hops++) {
            String[] path = reference.split("/");
            boolean known = path.length == 3 && path[0].equals("#") && definitions.get(path[1]) instanceof Map;
            if (!known || hops > 20
                    || !(((Map<?, ?>) definitions.get(path[1])).get(path[2]) instanceof Map<?, ?> target)) {
                throw new UnsupportedOperationException("the reference " + reference + " in a tool's parameters "
                        + "leads nowhere: #/$defs/NAME is supported");
            }
            found = target;
        }
        return found;
    }

    // ---- JSON ------------------------------------------------------------------------------------------------------

    /** Arguments are an object where their schema does not say so. */
    private static Map<String, Object> ofObjects(Map<?, ?> schema) {
        Map<String, Object> copy = copyOf(schema);
        copy.putIfAbsent("type", "object");
        return copy;
    }

    private static Map<String, Object> copyOf(Map<?, ?> schema) {
        Map<String, Object> copy = new LinkedHashMap<>();
        schema.forEach((key, value) -> copy.put((String) key, value));
        return copy;
    }

    private Map<String, Object> callSchema(Tool tool, Map<?, ?> given) {
        CallSyntax.JsonCall call = syntax.json();
        Map<String, Object> parameters = ofObjects(given);
        parameters.keySet().removeAll(definitions.keySet());
        Map<String, Object> schema;
        if (call.name() == null) {
            schema = object(Map.of(tool.name(), parameters));
        } else {
            Map<String, Object> root = new LinkedHashMap<>();
            put(root, call.name(), Map.of("const", tool.name()));
            put(root, call.arguments(), parameters);
            if (call.id() != null) {
                put(root, call.id(), Map.of("type", "string", "pattern", "^[a-z0-9]{9}$"));
            }
            schema = closed(root);
        }
        schema.putAll(definitions);
        return schema;
    }

    private static void put(Map<String, Object> root, List<String> path, Map<String, Object> leaf) {
        Map<String, Object> at = root;
        for (String key : path.subList(0, path.size() - 1)) {
            @SuppressWarnings("unchecked")
            Map<String, Object> inner =
                    (Map<String, Object>) at
                            .computeIfAbsent("\u0000" + key, missing -> new LinkedHashMap<String, Object>());
            at = inner;
        }
        at.put(path.get(path.size() - 1), leaf);
    }

    /** Objects of objects, whose inner ones are marked by a NUL before the key, as schemas. */
    private static Map<String, Object> closed(Map<String, Object> tree) {
        Map<String, Object> properties = new LinkedHashMap<>();
        tree.forEach((key, value) -> {
            boolean inner = key.startsWith("\u0000");
            @SuppressWarnings("unchecked")
            Map<String, Object> map = (Map<String, Object>) value;
            properties.put(inner ? key.substring(1) : key, inner ? closed(map) : map);
        });
        return object(properties);
    }

    private static Map<String, Object> object(Map<String, ?> properties) {
        Map<String, Object> schema = new LinkedHashMap<>();
        schema.put("type", "object");
        schema.put("properties", properties);
        schema.put("required", new ArrayList<>(properties.keySet()));
        schema.put("additionalProperties", false);
        return schema;
    }

    // ---- values that are not quite JSON ----------------------------------------------------------------------------

    /** Members in the schema's order: those from one on, the optional ones there or not. */
    private String members(Tool tool, Map<?, ?> schema, String assign, int from, boolean first) {
        List<Map.Entry<String, Map<?, ?>>> properties = SchemaParts.properties(schema);
        if (from == properties.size()) {
            return "\"\"";
        }
        String name = properties.get(from).getKey();
        String member =
                (first ? "" : "\",\" ") + LarkWriter.quote(name + assign) + " "
                + value(tool, properties.get(from).getValue());
        String rest = lark.rule(members(tool, schema, assign, from + 1, false));
        if (SchemaParts.isRequired(schema, name)) {
            return member + " " + rest;
        }
        return "(" + member + " " + rest + ") | " + lark.rule(members(tool, schema, assign, from + 1, first));
    }

    private String value(Tool tool, Map<?, ?> schema) {
        if (depth > 30) {
            throw new UnsupportedOperationException("the parameters of the tool " + tool.name() + " hold themselves, "
                    + "which a call in this template's notation cannot be forced to obey");
        }
        depth++;
        String value = valueOf(tool, resolved(schema));
        depth--;
        return value;
    }

    private String valueOf(Tool tool, Map<?, ?> schema) {
        List<?> fixed = SchemaParts.fixed(schema);
        if (fixed != null) {
            List<String> texts = new ArrayList<>();
            for (Object one : fixed) {
                texts.add(one instanceof String text ? string(quoted(text)) : LarkWriter.quote(Json.write(one)));
            }
            return lark.rule(String.join(" | ", texts));
        }
        List<Map<?, ?>> alternatives = SchemaParts.alternatives(schema);
        if (alternatives != null) {
            return lark.rule(String.join(" | ", alternatives.stream().map(one -> value(tool, one)).toList()));
        }
        Object type = schema.get("type");
        if ("string".equals(type)) {
            return text(schema);
        } else if ("integer".equals(type) || "number".equals(type)) {
            return lark.rule(value(schema));
        } else if ("boolean".equals(type)) {
            return lark.rule("\"true\" | \"false\"");
        } else if ("null".equals(type)) {
            return "\"null\"";
        } else if ("array".equals(type)) {
            return lark.rule("\"[\" " + elements(tool, schema) + " \"]\"");
        } else if ("object".equals(type)) {
            return lark.rule("\"{\" " + lark.rule(members(tool, schema, ":", 0, true)) + " \"}\"");
        } else if (type == null && syntax.quote() == null) {
            return lark.rule(value(schema));
        }
        throw new UnsupportedOperationException("the parameters of the tool " + tool.name()
                + " have a part of the type " + type
                + ", which a call in this template's notation cannot be forced to obey: " + Json.write(schema));
    }

    private String elements(Tool tool, Map<?, ?> schema) {
        String item = value(tool, SchemaParts.itemsOf(schema));
        long least = schema.get("minItems") instanceof Number number ? number.longValue() : 0;
        Object most = schema.get("maxItems") instanceof Number number ? number.longValue() - 1 : null;
        String some = item + " (\",\" " + item + ")" + TextPattern.repetition(least > 1 ? least - 1 : null, most);
        return Long.valueOf(-1).equals(most) ? "" : least > 0 ? some : "(" + some + ")?";
    }

    private String text(Map<?, ?> schema) {
        boolean demanding = TextPattern.isDemanding(schema);
        if (syntax.quote() == null && !demanding) {
            return syntax.raw() ? string("/[^\"\\\\\\n]*/") : "/\"([^\"\\\\\\n]|\\\\[\"\\\\nrt])*\"/";
        }
        boolean token = syntax.quote() != null && lark.tokens().contains(syntax.quote());
        String characters = syntax.quote() == null ? "[^\"\\\\\\n]"
                : token ? "(?s:.)" : "[^" + LarkWriter.first(syntax.quote()) + "]";
        return string(lark.terminal(TextPattern.terminal(schema, characters)));
    }

    /** A text between quotes, which stand beside it. */
    private String quoted(String text) {
        if (syntax.quote() != null || syntax.raw()) {
            return LarkWriter.quote(text);
        }
        String json = Json.write(text);
        return LarkWriter.quote(json.substring(1, json.length() - 1));
    }

    /** A string within the template's quotes. */
    private String string(String inner) {
        String quote = syntax.quote() == null ? LarkWriter.quote("\"") : lark.literal(syntax.quote());
        return "(" + quote + " " + inner + " " + quote + ")";
    }

    // ---- values between tags ---------------------------------------------------------------------------------------

    private String tags(Tool tool, Map<?, ?> schema) {
        CallSyntax.Tags tags = syntax.tags();
        StringBuilder grammar = new StringBuilder(lark.literal(tags.nameEnd()));
        return grammar.append(arguments(tool, schema)).toString();
    }

    /** Members in the schema's order, the optional ones there or not. */
    private String arguments(Tool tool, Map<?, ?> schema) {
        StringBuilder grammar = new StringBuilder();
        for (Map.Entry<String, Map<?, ?>> property : SchemaParts.properties(schema)) {
            String argument = argument(tool, property.getKey(), property.getValue());
            grammar.append(SchemaParts.isRequired(schema, property.getKey()) ? " " + argument : " (" + argument + ")?");
        }
        return grammar.toString();
    }

    private String argument(Tool tool, String name, Map<?, ?> given) {
        Map<?, ?> schema = resolved(given);
        CallSyntax.Tags tags = syntax.tags();
        boolean text = "string".equals(schema.get("type"));
        String keyEnd = text || tags.plainKeyEnd() == null ? tags.keyEnd() : tags.plainKeyEnd();
        String end = tags.valueEnd().replace(CallSyntax.Tags.KEY, name);
        return lark.literal(tags.open()) + " " + LarkWriter.quote(name) + " " + lark.literal(keyEnd) + " "
                + tagValue(tool, name, schema, text, end.strip()) + " " + lark.literal(end);
    }

    private String tagValue(Tool tool, String name, Map<?, ?> schema, boolean text, String end) {
        CallSyntax.Tags tags = syntax.tags();
        List<?> fixed = SchemaParts.fixed(schema);
        if (fixed != null && text) {
            List<String> texts = fixed.stream().map(String::valueOf).map(LarkWriter::quote).toList();
            return lark.rule(String.join(" | ", texts));
        } else if (text) {
            return lark.terminal(TextPattern.terminal(schema, "[^" + LarkWriter.first(end) + "]"));
        } else if (!tags.nested()) {
            return lark.rule(value(schema));
        } else if ("object".equals(schema.get("type")) && depth < 30) {
            depth++;
            String inner = arguments(tool, schema);
            depth--;
            return lark.rule("\"\"" + inner);
        } else if ("array".equals(schema.get("type")) && tags.item() != null) {
            return lark.rule("(" + argument(tool, tags.item(), SchemaParts.itemsOf(schema)) + ")"
                    + TextPattern.repetition(schema.get("minItems"), schema.get("maxItems")));
        } else if (Set.of("integer", "number", "boolean", "null").contains(String.valueOf(schema.get("type")))) {
            return lark.rule(value(schema));
        }
        throw new UnsupportedOperationException("the parameter " + name + " of the tool " + tool.name()
                + " has no single type, or holds itself, which a call in this template's notation cannot be forced to "
                + "obey: "
                + Json.write(schema));
    }

    private String value(Map<?, ?> schema) {
        Map<String, Object> copy = copyOf(schema);
        copy.putAll(definitions);
        return LarkSchema.compact(copy);
    }
}
