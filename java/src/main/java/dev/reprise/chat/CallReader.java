package dev.reprise.chat;

import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.chat.CallSyntax.Piece;
import dev.reprise.chat.CallSyntax.Style;
import dev.reprise.json.Json;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Reads calls that follow each other, from where the first begins, out of a text that is still growing. */
final class CallReader {
    enum Result {
        /** The text ends before the calls do. */
        MORE,
        /** All calls are read. */
        DONE,
        /** What stands at {@link CallReader#position} is no call after all. */
        FAILED
    }

    private enum State {
        BEGIN,
        HEAD,
        ARGUMENTS,
        BEHIND
    }

    private final CallSyntax syntax;
    private final List<Tool> tools;
    private final StringBuilder text;
    private final List<AnswerPart> parts;
    private final int firstCall;

    private State state = State.BEGIN;
    private int at;
    /** Where what is not yet read as a call begins: what comes back as text if it is none. */
    private int unread;
    private int nCalls;

    // Of the call that is being read.
    private int piece;
    private String name;
    private String id;
    private ArgumentsReader arguments;

    CallReader(CallSyntax syntax, List<Tool> tools, StringBuilder text, int from, List<AnswerPart> parts, int nCalls,
            int firstCall) {
        this.syntax = syntax;
        this.tools = tools;
        this.text = text;
        this.parts = parts;
        this.nCalls = nCalls;
        this.firstCall = firstCall;
        at = unread = from;
    }

    int position() {
        return unread;
    }

    int nCalls() {
        return nCalls;
    }

    static boolean isNameCharacter(char c) {
        return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.';
    }

    Result step(boolean last) {
        while (true) {
            Result result = switch (state) {
                case BEGIN -> begin();
                case HEAD -> head(last);
                case ARGUMENTS -> arguments(last);
                case BEHIND -> behind(last);
            };
            if (result == Result.MORE && last) {
                return Result.FAILED;
            } else if (result != null) {
                return result;
            }
        }
    }

    /** Null: it goes on. */
    private Result begin() {
        int end = Literals.match(text, at, syntax.begin().strip());
        if (end < 0) {
            return end == Literals.MORE ? Result.MORE : Result.FAILED;
        }
        at = end;
        return nextCall();
    }

    private Result nextCall() {
        piece = 0;
        name = null;
        id = null;
        arguments = null;
        state = State.HEAD;
        return null;
    }

    private Result head(boolean last) {
        for (; piece < syntax.head().size(); piece++) {
            Piece next = syntax.head().get(piece);
            if (next.kind() == Piece.Kind.LITERAL) {
                int end = Literals.match(text, at, next.literal());
                if (end < 0) {
                    return end == Literals.MORE ? Result.MORE : Result.FAILED;
                }
                at = end;
                continue;
            }
            int start = Literals.skipSpace(text, at);
            int end = start;
            while (end < text.length() && isNameCharacter(text.charAt(end))) {
                end++;
            }
            if (end == text.length() && !last) {
                return Result.MORE;
            }
            String word = text.substring(start, end);
            if (word.isEmpty() || next.kind() == Piece.Kind.NAME && name != null && !name.equals(word)) {
                return Result.FAILED;
            }
            if (next.kind() == Piece.Kind.NAME && name == null) {
                name = word;
                if (syntax.begin().isBlank() && tool(name) == null) {
                    return Result.FAILED;
                }
            } else if (next.kind() == Piece.Kind.ID) {
                id = word;
            }
            at = end;
        }
        if (name != null) {
            parts.add(new AnswerPart.CallStart(nCalls, name));
        }
        arguments = ArgumentsReader.of(syntax, name == null ? null : tool(name), text, at);
        state = State.ARGUMENTS;
        return null;
    }

    private Tool tool(String wanted) {
        return tools.stream().filter(tool -> tool.name().equals(wanted)).findFirst().orElse(null);
    }

    private Result arguments(boolean last) {
        Result result = arguments.step(last);
        if (name == null && arguments.name() != null) {
            name = arguments.name();
            if (syntax.begin().isBlank() && tool(name) == null) {
                return Result.FAILED;
            }
            parts.add(new AnswerPart.CallStart(nCalls, name));
        }
        String fragment = arguments.takeFragment();
        if (name != null && !fragment.isEmpty()) {
            parts.add(new AnswerPart.CallArguments(nCalls, fragment));
        }
        if (result != Result.DONE) {
            return result;
        }
        String json = arguments.json();
        String known = id != null ? id : arguments.id();
        String callId = known != null ? known : String.format(Locale.ROOT, "call%05d", firstCall + nCalls);
        try {
            if (!(Json.parse(json) instanceof Map)) {
                return Result.FAILED;
            }
            parts.add(new AnswerPart.CallEnd(nCalls, ToolCall.of(callId, name, json)));
        } catch (IllegalArgumentException e) {
            return Result.FAILED;
        }
        nCalls++;
        at = unread = arguments.position();
        state = State.BEHIND;
        return null;
    }

    /** The next call, or what ends them. */
    private Result behind(boolean last) {
        boolean inList = syntax.style() == Style.CALL_JSON && syntax.json().list();
        if (inList) {
            int next = Literals.skipSpace(text, at);
            if (next == text.length()) {
                return last ? Result.DONE : Result.MORE;
            } else if (text.charAt(next) == ',') {
                at = next + 1;
                return nextCall();
            } else if (text.charAt(next) == ']') {
                at = unread = next + 1;
            } else {
                return Result.DONE;
            }
        }
        String end = syntax.end().strip();
        int ended = end.isEmpty() ? Literals.NO : Literals.match(text, at, end);
        int between = inList || syntax.between() == null ? Literals.NO : matchBetween();
        if (between >= 0 && (ended < 0 || between > ended)) {
            at = between;
            return nextCall();
        } else if (ended >= 0) {
            unread = ended;
            return Result.DONE;
        } else if ((ended == Literals.MORE || between == Literals.MORE) && !last) {
            return Result.MORE;
        } else if (ended == Literals.MORE) {
            unread = text.length();
            return Result.DONE;
        }
        String shared = syntax.between() == null ? "" : Literals.commonStart(syntax.between(), syntax.end()).strip();
        int sharedEnd = shared.isEmpty() ? Literals.NO : Literals.match(text, at, shared);
        unread = sharedEnd >= 0 ? sharedEnd : unread;
        return Result.DONE;
    }

    private int matchBetween() {
        String literal = syntax.between().strip();
        if (!literal.isEmpty()) {
            return Literals.match(text, at, literal);
        }
        int next = Literals.skipSpace(text, at);
        if (next == text.length()) {
            return Literals.MORE;
        }
        return syntax.style() == Style.CALL_JSON && text.charAt(next) == '{' ? next : Literals.NO;
    }
}
