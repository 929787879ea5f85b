package dev.reprise.chat;

import dev.reprise.Tool;
import dev.reprise.chat.CallSyntax.Piece;
import dev.reprise.chat.CallSyntax.Style;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Writes grammars, in the Lark-like notation of llguidance, of answers that call tools as a template writes calls. */
final class CallGrammar {
    /** More calls in one answer are not allowed where one is forced: a grammar has to end. */
    private static final int MAX_CALLS = 8;

    /** As the tojson of templates has it, so that a call is the same tokens where the next turn renders it. */
    private static final Map<String, Object> WHITE_SPACE =
            Map.of("whitespace_flexible", false, "key_separator", ": ", "item_separator", ", ");

    private final CallSyntax syntax;
    /** Control tokens by their text, the longest first. */
    private final Map<String, Integer> special = new TreeMap<>(
            Comparator.comparingInt(String::length).reversed().thenComparing(Comparator.naturalOrder()));
    private final StringBuilder rules = new StringBuilder();
    private int nRules;

    CallGrammar(CallSyntax syntax, Map<String, Integer> special) {
        this.syntax = syntax;
        this.special.putAll(special);
    }

    /** One call or more, and nothing else. */
    String forced(List<Tool> tools, boolean single) {
        return "start: " + calls(tools, single) + "\n" + rules;
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
            return "start: " + calls + " | " + text + "\n" + rules;
        } else if (begin.isEmpty()) {
            // An answer that begins as a call does is one.
            return "start: " + calls + " | TEXT\nTEXT: /[^{\\[](?s:.*)/\n" + rules;
        } else if (special.keySet().stream().anyMatch(begin::startsWith)) {
            return "start: TEXT | TEXT " + calls + "\nTEXT: /(?s:.*)/\n" + rules;
        }
        String pattern = regexQuote(begin);
        return "start: TEXT | UNTIL " + callsBehindBegin(tools) + " | " + calls + "\n"
                + "TEXT: ~/(?s:.*)" + pattern + "(?s:.*)/\nUNTIL[lazy]: /(?s:.*?)" + pattern + "/\n" + rules;
    }

    private String callsBehindBegin(List<Tool> tools) {
        return repeated(tools, false, "");
    }

    private String calls(List<Tool> tools, boolean single) {
        return repeated(tools, single, literal(syntax.begin().strip()));
    }

    private String repeated(List<Tool> tools, boolean single, String begin) {
        List<String> one = new ArrayList<>();
        for (Tool tool : tools) {
            one.add(call(tool));
        }
        String call = rule(String.join(" | ", one));
        boolean list = syntax.style() == Style.CALL_JSON && syntax.json().list();
        String between = list ? "\",\"" : syntax.between() == null ? null : literal(separator(syntax.between()));
        // A number of the call counts them, and a grammar does not.
        boolean several =
                !single && between != null && syntax.head().stream().noneMatch(p -> p.kind() == Piece.Kind.INDEX);
        String more = several ? " (" + between + " " + call + "){0," + (MAX_CALLS - 1) + "}" : "";
        String end = literal(withoutLastToken(syntax.end()));
        return begin + " " + (list ? "\"[\" " : "") + call + more + (list ? " \"]\"" : "") + " " + end;
    }

    private static String separator(String between) {
        return between.isBlank() ? "\n" : between;
    }

    /** What ends a turn behind the calls is the end token's matter. */
    private String withoutLastToken(String end) {
        String stripped = end.stripTrailing();
        for (String token : special.keySet()) {
            boolean ofTheTurn = stripped.equals(token) && syntax.style() != Style.CALL_JSON && syntax.between() == null;
            if (ofTheTurn) {
                return "";
            }
        }
        return stripped;
    }

    private String call(Tool tool) {
        if (syntax.style() == Style.CALL_JSON) {
            return json(callSchema(tool));
        }
        StringBuilder call = new StringBuilder();
        for (Piece piece : syntax.head()) {
            call.append(switch (piece.kind()) {
                case LITERAL -> literal(piece.literal());
                case NAME -> quote(tool.name());
                case ID -> "/[a-z0-9]{9}/";
                case INDEX -> "\"0\"";
            }).append(' ');
        }
        Map<?, ?> schema = (Map<?, ?>) Json.parse(tool.parameters());
        return call.append(switch (syntax.style()) {
            case JSON -> json(compact(tool.parameters()));
            case LITERAL -> "\"{\" " + members(tool, schema, ":", 0, true) + " \"}\"";
            case KEYWORDS -> members(tool, schema, "=", 0, true) + " \")\"";
            default -> tags(tool, schema);
        }).toString();
    }

    // ---- JSON ------------------------------------------------------------------------------------------------------

    private static String json(String schema) {
        return "%json " + schema;
    }

    private static String compact(String schema) {
        @SuppressWarnings("unchecked")
        Map<String, Object> copy = new LinkedHashMap<>((Map<String, Object>) Json.parse(schema));
        copy.putIfAbsent("type", "object");
        copy.put("x-guidance", WHITE_SPACE);
        return Json.write(copy);
    }

    private String callSchema(Tool tool) {
        CallSyntax.JsonCall call = syntax.json();
        Map<String, Object> parameters = new LinkedHashMap<>();
        Object given = Json.parse(tool.parameters());
        ((Map<?, ?>) given).forEach((key, value) -> parameters.put((String) key, value));
        parameters.putIfAbsent("type", "object");
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
        schema.put("x-guidance", WHITE_SPACE);
        return Json.write(schema);
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
        List<Map.Entry<String, Map<?, ?>>> properties = properties(schema);
        if (from == properties.size()) {
            return "\"\"";
        }
        String name = properties.get(from).getKey();
        String member =
                (first ? "" : "\",\" ") + quote(name + assign) + " " + value(tool, properties.get(from).getValue());
        String rest = rule(members(tool, schema, assign, from + 1, false));
        if (isRequired(schema, name)) {
            return member + " " + rest;
        }
        return "(" + member + " " + rest + ") | " + rule(members(tool, schema, assign, from + 1, first));
    }

    private static List<Map.Entry<String, Map<?, ?>>> properties(Map<?, ?> schema) {
        List<Map.Entry<String, Map<?, ?>>> found = new ArrayList<>();
        if (schema.get("properties") instanceof Map<?, ?> properties) {
            properties.forEach((key, value) ->
                    found.add(Map.entry((String) key, value instanceof Map<?, ?> map ? map : Map.of())));
        }
        return found;
    }

    private static boolean isRequired(Map<?, ?> schema, String name) {
        return schema.get("required") instanceof List<?> required && required.contains(name);
    }

    private String value(Tool tool, Map<?, ?> schema) {
        if (schema.get("enum") instanceof List<?> allowed) {
            List<String> texts = new ArrayList<>();
            allowed.forEach(one ->
                    texts.add(one instanceof String text ? string(quote(text)) : quote(Json.write(one))));
            return rule(String.join(" | ", texts));
        }
        Object type = schema.get("type");
        if ("string".equals(type)) {
            return syntax.quote() == null
                    ? "/\"([^\"\\\\\\n]|\\\\[\"\\\\nrt])*\"/"
                    : string(special.containsKey(syntax.quote()) ? "/(?s:.*)/" : "/[^" + first(syntax.quote()) + "]*/");
        } else if ("integer".equals(type)) {
            return "/-?(0|[1-9][0-9]{0,17})/";
        } else if ("number".equals(type)) {
            return "/-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?/";
        } else if ("boolean".equals(type)) {
            return rule("\"true\" | \"false\"");
        } else if ("null".equals(type)) {
            return "\"null\"";
        } else if ("array".equals(type)) {
            String item =
                    value(tool, schema.get("items") instanceof Map<?, ?> items ? items : Map.of("type", "string"));
            return rule("\"[\" (" + item + " (\",\" " + item + ")*)? \"]\"");
        } else if ("object".equals(type)) {
            return rule("\"{\" " + rule(members(tool, schema, ":", 0, true)) + " \"}\"");
        }
        throw new UnsupportedOperationException("the parameters of the tool " + tool.name()
                + " have a part of the type "
                + type + ", which a call in this template's notation cannot be forced to obey: " + Json.write(schema));
    }

    /** A string within the template's quotes. */
    private String string(String inner) {
        String quote = syntax.quote() == null ? quote("\"") : literal(syntax.quote());
        return "(" + quote + " " + inner + " " + quote + ")";
    }

    // ---- values between tags ---------------------------------------------------------------------------------------

    private String tags(Tool tool, Map<?, ?> schema) {
        CallSyntax.Tags tags = syntax.tags();
        StringBuilder grammar = new StringBuilder(literal(tags.nameEnd()));
        for (Map.Entry<String, Map<?, ?>> property : properties(schema)) {
            String name = property.getKey();
            boolean text = "string".equals(property.getValue().get("type"));
            String keyEnd = text || tags.plainKeyEnd() == null ? tags.keyEnd() : tags.plainKeyEnd();
            String end = tags.valueEnd().replace(CallSyntax.Tags.KEY, name);
            String value;
            if (property.getValue().get("enum") instanceof List<?> allowed && text) {
                List<String> texts = new ArrayList<>();
                allowed.forEach(one -> texts.add(quote(String.valueOf(one))));
                value = rule(String.join(" | ", texts));
            } else if (text) {
                value = "/[^" + first(end.strip()) + "]*/";
            } else if (tags.nested()
                    && Set.of("object", "array").contains(String.valueOf(property.getValue().get("type")))) {
                throw new UnsupportedOperationException("the parameter " + name + " of the tool " + tool.name()
                        + " is no scalar, which a call in this template's notation cannot be forced to obey");
            } else {
                value = json(compactValue(property.getValue()));
            }
            String argument =
                    literal(tags.open()) + " " + quote(name) + " " + literal(keyEnd) + " " + value + " " + literal(end);
            grammar.append(isRequired(schema, name) ? " " + argument : " (" + argument + ")?");
        }
        return grammar.toString();
    }

    private static String compactValue(Map<?, ?> schema) {
        Map<String, Object> copy = new LinkedHashMap<>();
        schema.forEach((key, value) -> copy.put((String) key, value));
        copy.put("x-guidance", Map.of("whitespace_flexible", false));
        return Json.write(copy);
    }

    // ---- notation --------------------------------------------------------------------------------------------------

    private String rule(String right) {
        String name = "r" + nRules++;
        rules.append(name).append(": ").append(right).append('\n');
        return name;
    }

    /** A fixed text: control tokens in it as such. */
    private String literal(String text) {
        List<String> parts = new ArrayList<>();
        StringBuilder plain = new StringBuilder();
        int at = 0;
        while (at < text.length()) {
            String token = tokenAt(text, at);
            if (token == null) {
                plain.append(text.charAt(at++));
                continue;
            }
            if (plain.length() > 0) {
                parts.add(quote(plain.toString()));
                plain.setLength(0);
            }
            parts.add("<[" + special.get(token) + "]>");
            at += token.length();
        }
        if (plain.length() > 0) {
            parts.add(quote(plain.toString()));
        }
        return parts.isEmpty() ? "\"\"" : String.join(" ", parts);
    }

    private String tokenAt(String text, int at) {
        for (String token : special.keySet()) {
            if (text.startsWith(token, at)) {
                return token;
            }
        }
        return null;
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder();
        Json.quote(text, quoted);
        return quoted.toString();
    }

    /** The first character, as it stands between brackets of a regular expression. */
    private static String first(String text) {
        return "\\x{" + Integer.toHexString(text.codePointAt(0)) + "}";
    }

    private static String regexQuote(String text) {
        StringBuilder quoted = new StringBuilder();
        text.codePoints().forEach(c -> quoted.append("\\x{").append(Integer.toHexString(c)).append('}'));
        return quoted.toString();
    }
}
