package dev.reprise.chat;

import dev.reprise.Tool;
import dev.reprise.json.Json;

/** Reads arguments that each stand between fixed texts: {@link CallSyntax.Tags}. */
final class TagsReader extends ArgumentsReader {
    /** Longer keys are none. */
    private static final int MAX_KEY = 256;

    private enum State {
        NAME_END,
        OPEN_OR_END,
        KEY,
        VALUE
    }

    private final CallSyntax syntax;
    private final CallSyntax.Tags tags;
    private final TagValues values;
    private State state = State.NAME_END;
    private String key;
    private boolean plain;
    private int valueStart;

    TagsReader(CallSyntax syntax, Tool tool, CharSequence text, int from) {
        super(text, from);
        this.syntax = syntax;
        tags = syntax.tags();
        values = new TagValues(tags, tool);
    }

    @Override
    CallReader.Result step(boolean last) {
        while (true) {
            CallReader.Result result = switch (state) {
                case NAME_END -> nameEnd();
                case OPEN_OR_END -> openOrEnd(last);
                case KEY -> key();
                case VALUE -> value(last);
            };
            if (result != null) {
                return result;
            }
        }
    }

    private static CallReader.Result unmatched(int end) {
        return end == Literals.MORE ? CallReader.Result.MORE : CallReader.Result.FAILED;
    }

    private CallReader.Result nameEnd() {
        int end = Literals.match(text, at, tags.nameEnd().strip());
        if (end < 0) {
            return unmatched(end);
        }
        at = end;
        state = State.OPEN_OR_END;
        return null;
    }

    /** What ends the arguments is left for what follows. */
    private CallReader.Result openOrEnd(boolean last) {
        int open = Literals.match(text, at, tags.open());
        int ended = ends(syntax.end(), at);
        int between = syntax.between() == null ? Literals.NO : ends(syntax.between(), at);
        if (ended >= 0 || between >= 0 || last && (ended == Literals.MORE || between == Literals.MORE)) {
            json.append(json.length() == 0 ? "{}" : "}");
            return CallReader.Result.DONE;
        } else if (ended == Literals.MORE || between == Literals.MORE || open == Literals.MORE) {
            return CallReader.Result.MORE;
        } else if (open == Literals.NO) {
            return CallReader.Result.FAILED;
        }
        at = open;
        state = State.KEY;
        return null;
    }

    /** Of what follows the arguments the first word is enough. */
    private int ends(String literal, int from) {
        String stripped = literal.strip();
        if (stripped.isEmpty()) {
            return Literals.skipSpace(text, from) == text.length() ? Literals.MORE : Literals.NO;
        }
        return Literals.match(text, from, stripped.split("\\s", 2)[0]);
    }

    /** As {@link Literals#match}: whether another argument, another call or the end of the calls stands here. */
    private int follows(int from) {
        int open = Literals.match(text, from, tags.open());
        int end = ends(syntax.end(), from);
        int between = syntax.between() == null ? Literals.NO : ends(syntax.between(), from);
        boolean more = open == Literals.MORE || end == Literals.MORE || between == Literals.MORE;
        int found = Math.max(open, Math.max(end, between));
        return found >= 0 ? found : more ? Literals.MORE : Literals.NO;
    }

    private CallReader.Result key() {
        String first = tags.keyEnd().strip().split("\\s", 2)[0];
        int found = text.toString().indexOf(first, at);
        if (found < 0) {
            return text.length() - at > MAX_KEY ? CallReader.Result.FAILED : CallReader.Result.MORE;
        }
        key = text.subSequence(at, found).toString().strip();
        if (key.isEmpty() || key.length() > MAX_KEY || key.indexOf('\n') >= 0) {
            return CallReader.Result.FAILED;
        }
        int end = Literals.match(text, found, tags.keyEnd());
        int plainEnd = tags.plainKeyEnd() == null ? Literals.NO : Literals.match(text, found, tags.plainKeyEnd());
        if (end < 0 && plainEnd < 0) {
            return end == Literals.MORE || plainEnd == Literals.MORE ? CallReader.Result.MORE
                    : CallReader.Result.FAILED;
        }
        plain = end < 0;
        String used = plain ? tags.plainKeyEnd() : tags.keyEnd();
        int behind = plain ? plainEnd : end;
        String space = used.substring(Literals.stripEnd(used).length());
        if (text.length() < behind + space.length()) {
            return CallReader.Result.MORE;
        }
        boolean there = text.subSequence(behind, behind + space.length()).toString().equals(space);
        at = valueStart = there ? behind + space.length() : behind;
        state = State.VALUE;
        return null;
    }

    private CallReader.Result value(boolean last) {
        String end = tags.valueEnd().replace(CallSyntax.Tags.KEY, key);
        String marker = end.strip();
        int found = values.endOf(text, valueStart, key, marker);
        // A text may well have in it what ends it: only where something that can follow does is it the end.
        while (found >= 0 && !tags.nested()) {
            int follows = follows(found + marker.length());
            if (follows >= 0 || follows == Literals.MORE && last) {
                break;
            }
            found = follows == Literals.MORE ? -1 : values.endOf(text, found + 1, key, marker);
        }
        if (found < 0) {
            return CallReader.Result.MORE;
        }
        String raw = text.subSequence(valueStart, found).toString();
        String space = end.substring(0, end.length() - end.stripLeading().length());
        if (!space.isEmpty() && raw.endsWith(space)) {
            raw = raw.substring(0, raw.length() - space.length());
        }
        json.append(json.length() == 0 ? '{' : ',');
        Json.quote(key, json);
        json.append(':').append(values.json(key, raw, plain));
        at = found + marker.length();
        state = State.OPEN_OR_END;
        return null;
    }
}
