package dev.reprise.chat;

import dev.reprise.chat.CallSyntax.JsonCall;
import dev.reprise.chat.CallSyntax.Piece;
import dev.reprise.chat.CallSyntax.Style;
import dev.reprise.chat.CallSyntax.Tags;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** Finds out how a template writes calls from what it wrote of calls that are known. */
final class SyntaxDeriver {
    /** The template writes calls in a way that this does not know; the message says what was not found. */
    static final class UnknownSyntaxException extends Exception {
        private static final long serialVersionUID = 1L;

        UnknownSyntaxException(String message) {
            super(message);
        }
    }

    private final String one;
    private final String two;
    private final String twoArguments;
    private final String number;
    private final String nested;
    private final String list;
    private final String escape;

    /** All but the first may be null: what the template refused to write. */
    SyntaxDeriver(String one, String two, String twoArguments, String number, String nested, String list,
            String escape) {
        this.one = one;
        this.two = two;
        this.twoArguments = twoArguments;
        this.number = number;
        this.nested = nested;
        this.list = list;
        this.escape = escape;
    }

    CallSyntax derive() throws UnknownSyntaxException {
        Found json = findJson(one, 0, TemplateProbe.KEY);
        if (json != null && contains(json.value, TemplateProbe.NAME)) {
            return callJson(json);
        } else if (json != null && json.value instanceof Map) {
            return around(Style.JSON, json.start, json.end, null);
        }
        int key = one.indexOf(TemplateProbe.KEY);
        int value = one.indexOf(TemplateProbe.VALUE, key);
        if (key < 0 || value < 0 || one.lastIndexOf(TemplateProbe.NAME, key) < 0) {
            throw new UnknownSyntaxException("name, key and value do not follow each other in " + one.strip());
        }
        CallSyntax literal = literal(key, value);
        return literal != null ? literal : tags(key, value);
    }

    // ---- JSON ------------------------------------------------------------------------------------------------------

    private record Found(int start, int end, Object value) {}

    /** The largest JSON value from a place on that has this text in it. */
    private static Found findJson(String text, int from, String wanted) {
        for (int start = from; start < text.length(); start++) {
            if (text.charAt(start) != '{' && text.charAt(start) != '[') {
                continue;
            }
            JsonScanner scanner = new JsonScanner(start);
            scanner.advance(text);
            if (!scanner.ended()) {
                continue;
            }
            try {
                Object value = Json.parse(text.substring(start, scanner.position()));
                if (contains(value, wanted)) {
                    return new Found(start, scanner.position(), value);
                }
            } catch (IllegalArgumentException e) {
                // A bracket that begins no JSON.
            }
        }
        return null;
    }

    private static boolean contains(Object value, String text) {
        if (value instanceof Map<?, ?> map) {
            return map.containsKey(text) || map.values().stream().anyMatch(element -> contains(element, text));
        } else if (value instanceof List<?> elements) {
            return elements.stream().anyMatch(element -> contains(element, text));
        }
        return text.equals(value);
    }

    private CallSyntax callJson(Found json) throws UnknownSyntaxException {
        Object element = json.value instanceof List<?> elements ? elements.get(0) : json.value;
        if (!(element instanceof Map<?, ?> map)) {
            throw new UnknownSyntaxException("the JSON of a call is no object in " + one.strip());
        }
        boolean isList = json.value instanceof List;
        List<String> arguments = path(map, value -> value instanceof Map<?, ?> m && m.containsKey(TemplateProbe.KEY));
        List<String> name = path(map, TemplateProbe.NAME::equals);
        if (arguments == null || name == null && !(map.size() == 1 && map.containsKey(TemplateProbe.NAME))) {
            throw new UnknownSyntaxException("the JSON of a call holds no name or no arguments in " + one.strip());
        }
        JsonCall call = new JsonCall(
                isList, name, name == null ? List.of() : arguments, path(map, TemplateProbe.ID::equals));
        String between = null;
        if (two != null) {
            Found first = findJson(two, 0, TemplateProbe.KEY);
            Found second = first == null ? null : findJson(two, first.end, TemplateProbe.KEY);
            between = second == null ? null : two.substring(first.end, second.start);
        }
        return new CallSyntax(Style.CALL_JSON, one.substring(0, json.start).stripLeading(), List.of(), between,
                one.substring(json.end), call, null, null, false);
    }

    private static List<String> path(Map<?, ?> map, Predicate<Object> wanted) {
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            if (wanted.test(entry.getValue())) {
                return List.of((String) entry.getKey());
            }
            if (entry.getValue() instanceof Map<?, ?> inner) {
                List<String> rest = path(inner, wanted);
                if (rest != null) {
                    List<String> path = new ArrayList<>(List.of((String) entry.getKey()));
                    path.addAll(rest);
                    return path;
                }
            }
        }
        return null;
    }

    // ---- names in front of the arguments ---------------------------------------------------------------------------

    /** A syntax whose arguments are one piece of text. */
    private CallSyntax around(Style style, int start, int end, String quote) throws UnknownSyntaxException {
        List<Piece> pieces = pieces(one.substring(0, start), TemplateProbe.NAME, TemplateProbe.ID);
        String between = null;
        if (two != null) {
            int firstEnd = argumentsEnd(style, two, start, quote);
            int next = firstEnd < 0 ? -1 : firstHole(two, firstEnd);
            if (next >= 0) {
                between = two.substring(firstEnd, next);
                int value = two.indexOf(TemplateProbe.KEY, next);
                pieces = withIndex(pieces, two.substring(next, Math.max(next, value)));
            }
        }
        return new CallSyntax(style, begin(pieces), pieces.subList(1, pieces.size()), between,
                longerEnd(style, one.substring(end), quote), null, null, quote,
                style == Style.KEYWORDS && escape != null && escape.contains(TemplateProbe.ESCAPE));
    }

    /**
     * Some templates end the section of calls only behind several: what ends it counts, of which a part may be missing.
     */
    private String longerEnd(Style style, String end, String quote) {
        int key = two == null ? -1 : two.indexOf(TemplateProbe.KEY, firstHole(two, 0) < 0 ? 0 : firstHole(two, 0));
        for (int start = key; start >= 0; start--) {
            if (two.charAt(start) == '{' || two.charAt(start) == '(') {
                int from = two.charAt(start) == '(' ? start + 1 : start;
                int behind = argumentsEnd(style, two, from, quote);
                String other = behind < 0 ? "" : two.substring(behind);
                return other.startsWith(end) ? other : end;
            }
        }
        return end;
    }

    private static int argumentsEnd(Style style, String text, int start, String quote) {
        if (style == Style.JSON) {
            JsonScanner scanner = new JsonScanner(start);
            scanner.advance(text);
            return scanner.ended() ? scanner.position() : -1;
        }
        try {
            LiteralReader reader = new LiteralReader(text, start, quote, false);
            if (style == Style.LITERAL) {
                reader.value();
            } else {
                reader.keywords();
            }
            return reader.position();
        } catch (LiteralReader.IncompleteException | LiteralReader.MalformedException e) {
            return -1;
        }
    }

    /** The fixed text in front of the first hole, and what follows it. */
    private static String begin(List<Piece> pieces) throws UnknownSyntaxException {
        if (pieces.size() < 2 || pieces.stream().noneMatch(piece -> piece.kind() == Piece.Kind.NAME)) {
            throw new UnknownSyntaxException("no name stands in front of the arguments");
        }
        return pieces.get(0).literal().stripLeading();
    }

    private static int firstHole(String text, int from) {
        int name = text.indexOf(TemplateProbe.NAME2, from);
        int id = text.indexOf(TemplateProbe.ID2, from);
        return name < 0 ? id : id < 0 ? name : Math.min(name, id);
    }

    /** A text in pieces; the first is fixed text, perhaps empty. */
    private static List<Piece> pieces(String text, String name, String id) {
        List<Piece> pieces = new ArrayList<>();
        int at = 0;
        while (true) {
            int nameAt = text.indexOf(name, at);
            int idAt = text.indexOf(id, at);
            int next = nameAt < 0 ? idAt : idAt < 0 ? nameAt : Math.min(nameAt, idAt);
            String literal = text.substring(at, next < 0 ? text.length() : next);
            if (pieces.isEmpty() || !literal.isEmpty()) {
                pieces.add(Piece.literal(literal));
            }
            if (next < 0) {
                return pieces;
            }
            pieces.add(Piece.of(next == nameAt ? Piece.Kind.NAME : Piece.Kind.ID));
            at = next + (next == nameAt ? name.length() : id.length());
        }
    }

    /** A number that is another one in the head of the second call is a hole. */
    private static List<Piece> withIndex(List<Piece> pieces, String secondHead) {
        List<Piece> second = pieces(secondHead, TemplateProbe.NAME2, TemplateProbe.ID2);
        List<Piece> result = new ArrayList<>();
        for (int i = 0; i < pieces.size(); i++) {
            Piece piece = pieces.get(i);
            String other = i > 0 && i < second.size() ? second.get(i).literal() : null;
            int digit = piece.literal() == null || other == null ? -1 : Literals.commonPrefix(piece.literal(), other);
            boolean counts = digit >= 0
                    && digit < piece.literal().length()
                    && digit < other.length()
                    && Character.isDigit(piece.literal().charAt(digit))
                    && other.charAt(digit) == piece.literal().charAt(digit) + 1;
            if (!counts) {
                result.add(piece);
                continue;
            }
            result.add(Piece.literal(piece.literal().substring(0, digit)));
            result.add(Piece.of(Piece.Kind.INDEX));
            result.add(Piece.literal(piece.literal().substring(digit + 1)));
        }
        return result;
    }

    /** Arguments that are not quite JSON; null if they are something else. */
    private CallSyntax literal(int key, int value) throws UnknownSyntaxException {
        String separator = one.substring(key + TemplateProbe.KEY.length(), value).strip();
        int start = one.substring(0, key).stripTrailing().length();
        while (start > 0 && "\"'".indexOf(one.charAt(start - 1)) >= 0) {
            start--;
        }
        char open = start == 0 ? ' ' : one.charAt(start - 1);
        int colon = Math.max(separator.indexOf(':'), separator.indexOf('='));
        if (open != '{' && open != '(' || colon < 0 || separator.substring(0, colon).strip().length() > 1) {
            return null;
        }
        String quote = separator.substring(colon + 1).strip();
        if (quote.isEmpty() || !one.startsWith(quote, value + TemplateProbe.VALUE.length())) {
            return null;
        }
        String own = quote.equals("'") || quote.equals("\"") ? null : quote;
        Style style = open == '{' ? Style.LITERAL : Style.KEYWORDS;
        int from = open == '{' ? start - 1 : start;
        int end = argumentsEnd(style, one, from, own);
        if (end < 0) {
            return null;
        }
        return around(style, from, end, own);
    }

    // ---- arguments with fixed texts of their own -------------------------------------------------------------------

    private CallSyntax tags(int key, int value) throws UnknownSyntaxException {
        int name = one.lastIndexOf(TemplateProbe.NAME, key) + TemplateProbe.NAME.length();
        int id = one.lastIndexOf(TemplateProbe.ID, key);
        int head = Math.max(name, id < 0 ? 0 : id + TemplateProbe.ID.length());
        String argumentsBegin = one.substring(head, key);
        String keyEnd = one.substring(key + TemplateProbe.KEY.length(), value);
        String rest = withKey(one.substring(value + TemplateProbe.VALUE.length()));
        int secondKey = twoArguments == null ? -1 : twoArguments.indexOf(TemplateProbe.KEY2);
        int firstValue = twoArguments == null ? -1 : twoArguments.indexOf(TemplateProbe.VALUE);
        if (secondKey < firstValue || firstValue < 0) {
            throw new UnknownSyntaxException("a second argument does not follow the first in " + twoArguments);
        }
        String middle = withKey(twoArguments.substring(firstValue + TemplateProbe.VALUE.length(), secondKey));
        boolean named = rest.contains(Tags.KEY);
        String valueEnd;
        if (named) {
            int close = rest.indexOf('>', rest.indexOf(Tags.KEY));
            valueEnd = rest.substring(0, close < 0 ? rest.indexOf(Tags.KEY) + 1 : close + 1);
        } else {
            valueEnd = Literals.commonStart(middle, rest);
        }
        if (valueEnd.isBlank() || !middle.startsWith(valueEnd)) {
            throw new UnknownSyntaxException("nothing certain ends an argument in " + one.strip());
        }
        String open = middle.substring(valueEnd.length()).strip();
        if (!argumentsBegin.stripTrailing().endsWith(open)) {
            throw new UnknownSyntaxException("arguments begin in different ways in " + twoArguments.strip());
        }
        String nameEnd = argumentsBegin.substring(0, argumentsBegin.stripTrailing().length() - open.length());
        List<Piece> pieces = pieces(one.substring(0, head), TemplateProbe.NAME, TemplateProbe.ID);
        String between = null;
        if (two != null) {
            int from = two.indexOf(TemplateProbe.VALUE) + TemplateProbe.VALUE.length();
            int next = firstHole(two, from);
            String gap = next < 0 ? "" : withKey(two.substring(from, next));
            between = gap.startsWith(valueEnd) ? gap.substring(valueEnd.length()) : null;
        }
        Tags tags = new Tags(nameEnd, open, keyEnd, plainKeyEnd(keyEnd), valueEnd,
                named && isNested(open, keyEnd), named ? item(open, keyEnd) : null);
        return new CallSyntax(Style.TAGS, begin(pieces), pieces.subList(1, pieces.size()), between,
                rest.substring(valueEnd.length()), null, tags, null, false);
    }

    private static String withKey(String text) {
        return text.replace(TemplateProbe.KEY, Tags.KEY);
    }

    private String plainKeyEnd(String keyEnd) {
        int key = number == null ? -1 : number.indexOf(TemplateProbe.KEY);
        int value = key < 0 ? -1 : number.indexOf('7', key);
        String found = value < 0 ? keyEnd : number.substring(key + TemplateProbe.KEY.length(), value);
        return found.equals(keyEnd) ? null : found;
    }

    private boolean isNested(String open, String keyEnd) {
        return nested != null && nested.contains(open + TemplateProbe.KEY2 + keyEnd + TemplateProbe.VALUE2);
    }

    private String item(String open, String keyEnd) {
        int value = list == null ? -1 : list.indexOf(keyEnd + TemplateProbe.VALUE2);
        int start = value < 0 ? -1 : list.lastIndexOf(open, value);
        return start < 0 ? null : list.substring(start + open.length(), value);
    }
}
