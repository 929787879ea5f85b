package dev.reprise.chat;

import dev.reprise.Tool;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Reads the arguments of one call, and its name where that is among them, out of a text that is still growing. */
abstract class ArgumentsReader {
    final CharSequence text;
    int at;
    /** The arguments' JSON so far, and how much of it was handed on. */
    final StringBuilder json = new StringBuilder();
    private int taken;

    ArgumentsReader(CharSequence text, int from) {
        this.text = text;
        at = from;
    }

    static ArgumentsReader of(CallSyntax syntax, Tool tool, CharSequence text, int from) {
        return switch (syntax.style()) {
            case CALL_JSON -> new InCallJson(syntax.json(), syntax.begin().isBlank(), text, from);
            case JSON -> new AsJson(text, from);
            case LITERAL, KEYWORDS -> new AsLiteral(syntax, text, from);
            case TAGS -> new TagsReader(syntax, tool, text, from);
        };
    }

    /** {@link CallReader.Result#DONE} when {@link #json} is whole and {@link #position} behind it. */
    abstract CallReader.Result step(boolean last);

    int position() {
        return at;
    }

    String json() {
        return json.toString();
    }

    /** What came to the JSON since the last time. */
    String takeFragment() {
        String fragment = json.substring(taken);
        taken = json.length();
        return fragment;
    }

    /** The name, where it stands with the arguments and is known. */
    String name() {
        return null;
    }

    /** As {@link #name}. */
    String id() {
        return null;
    }

    /** A JSON object. */
    private static final class AsJson extends ArgumentsReader {
        private JsonScanner scanner;

        AsJson(CharSequence text, int from) {
            super(text, from);
        }

        @Override
        CallReader.Result step(boolean last) {
            if (scanner == null) {
                at = Literals.skipSpace(text, at);
                if (at == text.length()) {
                    return CallReader.Result.MORE;
                } else if (text.charAt(at) != '{') {
                    return CallReader.Result.FAILED;
                }
                scanner = new JsonScanner(at);
            }
            scanner.advance(text);
            json.append(text, at, scanner.position());
            at = scanner.position();
            if (scanner.malformed()) {
                return CallReader.Result.FAILED;
            }
            return scanner.ended() ? CallReader.Result.DONE : CallReader.Result.MORE;
        }
    }

    /** An object that is not quite JSON, or keywords. */
    private static final class AsLiteral extends ArgumentsReader {
        private final CallSyntax syntax;
        private int seen;

        AsLiteral(CallSyntax syntax, CharSequence text, int from) {
            super(text, from);
            this.syntax = syntax;
            seen = from;
        }

        @Override
        CallReader.Result step(boolean last) {
            boolean keywords = syntax.style() == CallSyntax.Style.KEYWORDS;
            if (!mayEnd(keywords ? ')' : '}')) {
                return CallReader.Result.MORE;
            }
            // At its very end a text may still go on with what makes a quote part of a string.
            CharSequence whole = last ? text + "," : text;
            LiteralReader reader = new LiteralReader(whole, at, syntax.quote(), syntax.raw());
            try {
                Object value = keywords ? reader.keywords() : reader.value();
                if (!(value instanceof Map)) {
                    return CallReader.Result.FAILED;
                }
                json.append(Json.write(value));
                at = reader.position();
                return CallReader.Result.DONE;
            } catch (LiteralReader.IncompleteException e) {
                return CallReader.Result.MORE;
            } catch (LiteralReader.MalformedException e) {
                return CallReader.Result.FAILED;
            }
        }

        /** Reading it again is of no use before a bracket has come that may end it. */
        private boolean mayEnd(char end) {
            int from = seen;
            seen = text.length();
            for (int i = from; i < text.length(); i++) {
                if (text.charAt(i) == end) {
                    return true;
                }
            }
            return false;
        }
    }

    /** A JSON object that holds name and arguments. */
    private static final class InCallJson extends ArgumentsReader {
        private final CallSyntax.JsonCall call;
        private final boolean bare;
        private int start = -1;
        private JsonScanner whole;
        private JsonScanner inner;
        private String name;
        private String id;

        InCallJson(CallSyntax.JsonCall call, boolean bare, CharSequence text, int from) {
            super(text, from);
            this.call = call;
            this.bare = bare;
        }

        @Override
        String name() {
            return name;
        }

        @Override
        String id() {
            return id;
        }

        @Override
        CallReader.Result step(boolean last) {
            if (start < 0) {
                at = Literals.skipSpace(text, at);
                if (at < text.length() && text.charAt(at) == '[' && call.list()) {
                    at = Literals.skipSpace(text, at + 1);
                }
                if (at == text.length()) {
                    return CallReader.Result.MORE;
                } else if (text.charAt(at) != '{') {
                    return CallReader.Result.FAILED;
                }
                start = at;
                whole = new JsonScanner(start);
            }
            whole.advance(text);
            if (whole.malformed()) {
                return CallReader.Result.FAILED;
            }
            if (name == null && call.name() != null) {
                name = string(valueAt(start, call.name()));
            }
            if (name != null) {
                stream();
            }
            if (!whole.ended()) {
                return CallReader.Result.MORE;
            }
            at = whole.position();
            return complete() ? CallReader.Result.DONE : CallReader.Result.FAILED;
        }

        /** Hands the arguments on as far as they have come, if they are an object. */
        private void stream() {
            if (inner == null) {
                int from = valueAt(start, call.arguments());
                if (from < 0 || text.charAt(from) != '{') {
                    return;
                }
                inner = new JsonScanner(from);
                at = from;
            }
            int before = inner.position();
            inner.advance(text.subSequence(0, whole.position()));
            json.append(text, before, inner.position());
        }

        private boolean complete() {
            Object value;
            try {
                value = Json.parse(text.subSequence(start, at).toString());
            } catch (IllegalArgumentException e) {
                return false;
            }
            Map<?, ?> map = (Map<?, ?>) value;
            if (call.name() == null) {
                if (map.size() != 1) {
                    return false;
                }
                name = (String) map.keySet().iterator().next();
                return takeArguments(map, List.of(name));
            }
            if (name == null || !(lookUp(map, call.id()) instanceof String given)) {
                return name != null && takeArguments(map, call.arguments());
            }
            id = given;
            return takeArguments(map, call.arguments());
        }

        private boolean takeArguments(Map<?, ?> map, List<String> path) {
            if (inner != null) {
                return true;
            }
            for (List<String> candidate : candidates(path)) {
                Object arguments = lookUp(map, candidate);
                if (arguments instanceof Map) {
                    int from = valueAt(start, candidate);
                    JsonScanner scanner = new JsonScanner(from);
                    scanner.advance(text);
                    json.append(text, from, scanner.position());
                    return true;
                } else if (arguments instanceof String encoded) {
                    json.append(encoded);
                    return true;
                }
            }
            boolean none = !bare && candidates(path).stream().allMatch(candidate -> lookUp(map, candidate) == null);
            json.append(none ? "{}" : "");
            return none;
        }

        /** Models mix up the field's names for arguments. */
        private static List<List<String>> candidates(List<String> path) {
            List<List<String>> candidates = new ArrayList<>(List.of(path));
            for (String other : List.of("arguments", "parameters")) {
                List<String> renamed = new ArrayList<>(path);
                renamed.set(path.size() - 1, other);
                candidates.add(renamed);
            }
            return candidates;
        }

        private static Object lookUp(Object value, List<String> path) {
            Object found = value;
            for (String key : path == null ? List.of("") : path) {
                found = found instanceof Map<?, ?> map ? map.get(key) : null;
            }
            return found;
        }

        /** The string that begins here, if it is whole; else null. */
        private String string(int from) {
            if (from < 0 || text.charAt(from) != '"') {
                return null;
            }
            JsonScanner scanner = new JsonScanner(from);
            scanner.advance(text);
            try {
                return scanner.ended() ? (String) Json.parse(text.subSequence(from, scanner.position()).toString())
                        : null;
            } catch (IllegalArgumentException e) {
                return null;
            }
        }

        /** Where the value behind these keys begins; -1 if it has not come yet. */
        private int valueAt(int object, List<String> path) {
            int i = Literals.skipSpace(text, object + 1);
            while (i < text.length() && text.charAt(i) == '"') {
                String key = string(i);
                i = key == null ? -1 : behind(i);
                i = i < 0 ? -1 : Literals.skipSpace(text, i);
                if (i < 0 || i == text.length() || text.charAt(i) != ':') {
                    return -1;
                }
                i = Literals.skipSpace(text, i + 1);
                if (i == text.length()) {
                    return -1;
                }
                if (key.equals(path.get(0))) {
                    return path.size() == 1 ? i : text.charAt(i) == '{' ? valueAt(i, path.subList(1, path.size())) : -1;
                }
                i = behind(i);
                if (i < 0) {
                    return -1;
                }
                i = Literals.skipSpace(text, i);
                if (i < text.length() && text.charAt(i) == ',') {
                    i = Literals.skipSpace(text, i + 1);
                }
            }
            return -1;
        }

        /** Behind the value that begins here; -1 if it is not whole. */
        private int behind(int from) {
            char c = text.charAt(from);
            if (c == '"' || c == '{' || c == '[') {
                JsonScanner scanner = new JsonScanner(from);
                scanner.advance(text);
                return scanner.ended() ? scanner.position() : -1;
            }
            int i = from;
            while (i < text.length() && ",}]".indexOf(text.charAt(i)) < 0) {
                i++;
            }
            return i < text.length() ? i : -1;
        }
    }
}
