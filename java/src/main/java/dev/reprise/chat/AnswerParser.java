package dev.reprise.chat;

import dev.reprise.Tool;
import java.util.ArrayList;
import java.util.List;

/** Takes an answer apart as it is written. Belongs to one answer and one thread at a time. */
public final class AnswerParser {
    private enum State {
        /** Nothing but space, or a part of what reasoning or text begins with. */
        START,
        REASONING,
        TEXT,
        CALL
    }

    private final AnswerFormat.ReasoningSyntax reasoning;
    private final String textPrefix;
    /** Null if there are no tools to call. */
    private final CallSyntax syntax;
    private final List<Tool> tools;
    private final int firstCall;
    private final StringBuilder buffer = new StringBuilder();
    private final List<AnswerPart> parts = new ArrayList<>();

    private State state = State.START;
    private int at;
    /** No call begins before this place. */
    private int searchFrom;
    private boolean reasoningDone;
    private boolean reasoningBegun;
    private boolean textBegun;
    private boolean dropSpace;
    private int nCalls;
    private CallReader reader;
    private boolean calledInReasoning;
    private int callStart;

    AnswerParser(AnswerFormat format, String generationPrompt, List<Tool> tools, int firstCall) {
        reasoning = format.reasoning();
        textPrefix = format.textPrefix();
        syntax = tools.isEmpty() ? null : format.calls() != null ? format.calls() : GenericCalls.SYNTAX;
        this.tools = tools;
        this.firstCall = firstCall;
        if (reasoning != null && reasoning.begin().isEmpty()) {
            state = generationPrompt.contains(reasoning.end()) ? State.START : State.REASONING;
        } else if (reasoning != null) {
            int begin = generationPrompt.lastIndexOf(reasoning.begin());
            if (begin >= 0) {
                boolean open = generationPrompt.indexOf(reasoning.end(), begin + reasoning.begin().length()) < 0;
                state = open ? State.REASONING : State.START;
                reasoningDone = !open;
            } else {
                reasoningDone = generationPrompt.contains(reasoning.end());
            }
        }
    }

    /** Whether the model is thinking. */
    public boolean inReasoning() {
        return state == State.REASONING;
    }

    /** Whether it has written so little that it may yet begin to think. */
    public boolean mayStillReason() {
        return state == State.START && reasoning != null && !reasoningDone && !reasoning.begin().isEmpty();
    }

    /** Takes what the model wrote next, the texts of control tokens included; returns what is certain now. */
    public List<AnswerPart> append(String text) {
        buffer.append(text);
        return run(false);
    }

    /** At the end of the answer: what is left. A call that is not complete or malformed comes back as text. */
    public List<AnswerPart> finish() {
        return run(true);
    }

    private List<AnswerPart> run(boolean last) {
        parts.clear();
        boolean goesOn = true;
        while (goesOn) {
            goesOn = advance(last);
        }
        return List.copyOf(parts);
    }

    /** Goes on as far as the state can; whether there may be more to do. */
    private boolean advance(boolean last) {
        return switch (state) {
            case START -> start(last);
            case REASONING -> reason(last);
            case TEXT -> text(last);
            case CALL -> call(last);
        };
    }

    // ---- reasoning -------------------------------------------------------------------------------------------------

    private boolean start(boolean last) {
        int from = Literals.skipSpace(buffer, at);
        if (from == buffer.length() && !last) {
            return false;
        }
        if (reasoning != null && !reasoningDone && !reasoning.begin().isEmpty()) {
            int end = Literals.match(buffer, at, reasoning.begin());
            if (end >= 0) {
                at = end;
                state = State.REASONING;
                return true;
            } else if (end == Literals.MORE && !last) {
                return false;
            }
        }
        if (reasoning != null && !reasoningDone) {
            // That it does not think is what a template may write so.
            int end = Literals.match(buffer, at, reasoning.end());
            if (end >= 0) {
                at = end;
                reasoningDone = true;
                dropSpace = true;
                return true;
            } else if (end == Literals.MORE && !last) {
                return false;
            }
        }
        if (!textPrefix.isEmpty()) {
            int end = Literals.match(buffer, at, textPrefix);
            if (end >= 0) {
                at = end;
                dropSpace = Character.isWhitespace(textPrefix.charAt(textPrefix.length() - 1));
            } else if (end == Literals.MORE && !last) {
                return false;
            }
        }
        searchFrom = at;
        state = State.TEXT;
        return true;
    }

    private boolean reason(boolean last) {
        if (!reasoningBegun) {
            at = Literals.skipSpace(buffer, at);
            reasoningBegun = at < buffer.length();
        }
        int end = buffer.indexOf(reasoning.end(), at);
        int call = callInReasoning();
        if (call >= 0 && (end < 0 || call < end)) {
            emitReasoning(Literals.stripEnd(buffer.substring(at, call)));
            at = call;
            beginCall(call, true);
            return true;
        } else if (end >= 0) {
            emitReasoning(Literals.stripEnd(buffer.substring(at, end)));
            at = end + reasoning.end().length();
            reasoningDone = true;
            dropSpace = true;
            state = State.START;
            return true;
        }
        int free = buffer.length();
        if (!last) {
            free = Literals.partialEnd(buffer, at, reasoning.end());
            String begin = syntax == null ? "" : syntax.begin().strip();
            free = begin.isEmpty() ? free : Math.min(free, Literals.partialEnd(buffer, at, begin));
        }
        String piece = buffer.substring(at, free);
        String certain = Literals.stripEnd(piece);
        emitReasoning(certain);
        at += certain.length();
        return false;
    }

    /** Models forget to end their reasoning before they call. */
    private int callInReasoning() {
        String begin = syntax == null ? "" : syntax.begin().strip();
        return begin.isEmpty() ? -1 : buffer.indexOf(begin, Math.max(at, searchFrom));
    }

    private void beginCall(int from, boolean inReasoning) {
        reader = new CallReader(syntax, tools, buffer, from, parts, nCalls, firstCall);
        calledInReasoning = inReasoning;
        callStart = from;
        state = State.CALL;
    }

    private void emitReasoning(String piece) {
        if (!piece.isEmpty()) {
            parts.add(new AnswerPart.Reasoning(piece));
        }
    }

    // ---- text ------------------------------------------------------------------------------------------------------

    private boolean text(boolean last) {
        if (dropSpace && !textBegun) {
            at = Literals.skipSpace(buffer, at);
            searchFrom = Math.max(searchFrom, at);
        }
        if (syntax == null) {
            emitText(buffer.length());
            return false;
        }
        int call = findCall(last);
        if (call >= 0) {
            // What stands in front of it stays, for if it is none: space, and what ends a text.
            String before = buffer.substring(at, call);
            String marker = separator();
            boolean separated = syntax.begin().isBlank() && !marker.isEmpty() && before.endsWith(marker);
            emitText(at + Literals.stripEnd(separated ? before.substring(0, before.length() - marker.length()) : before)
                    .length());
            beginCall(call, false);
            return true;
        }
        int free = last ? buffer.length() : Math.max(at, -call - 1);
        // Space in front of a call is not the answer's.
        int end = last ? free : at + Literals.stripEnd(buffer.substring(at, free)).length();
        emitText(end);
        return false;
    }

    private void emitText(int end) {
        if (end > at) {
            String piece = buffer.substring(at, end);
            parts.add(new AnswerPart.Text(piece));
            textBegun |= !piece.isBlank();
            at = end;
        }
    }

    /** Where a call begins; if none does, one less than the negative place up to which that is certain. */
    private int findCall(boolean last) {
        int from = Math.max(at, searchFrom);
        boolean bare = syntax.begin().isBlank();
        String marker = bare ? separator() : syntax.begin().strip();
        if (bare && !textBegun && at >= searchFrom) {
            int start = Literals.skipSpace(buffer, at);
            int answer = startsCall(start, last);
            if (answer == Literals.MORE) {
                return -at - 1;
            } else if (answer >= 0) {
                return start;
            }
        }
        if (marker.isEmpty()) {
            return -buffer.length() - 1;
        }
        int found = buffer.indexOf(marker, from);
        if (found < 0) {
            return -Literals.partialEnd(buffer, from, marker) - 1;
        }
        return bare ? found + marker.length() : found;
    }

    /** What stands between calls, and between a text and a call that nothing else marks; may be empty. */
    private String separator() {
        return syntax.between() == null ? "" : syntax.between().strip();
    }

    /** Whether what stands here may be a call that nothing marks: at least 0 if so. */
    private int startsCall(int start, boolean last) {
        if (start == buffer.length()) {
            return last ? Literals.NO : Literals.MORE;
        }
        if (syntax.style() == CallSyntax.Style.CALL_JSON) {
            return buffer.charAt(start) == (syntax.json().list() ? '[' : '{') ? start : Literals.NO;
        }
        int answer = Literals.NO;
        for (Tool tool : tools) {
            int end = Literals.match(buffer, start, tool.name());
            if (end >= 0 && end < buffer.length() && !CallReader.isNameCharacter(buffer.charAt(end))) {
                return start;
            } else if ((end == Literals.MORE || end == buffer.length()) && !last) {
                answer = Literals.MORE;
            }
        }
        return answer;
    }

    // ---- calls -----------------------------------------------------------------------------------------------------

    private boolean call(boolean last) {
        CallReader.Result result = reader.step(last);
        nCalls = reader.nCalls();
        if (result == CallReader.Result.MORE) {
            return false;
        }
        boolean none = result == CallReader.Result.FAILED && reader.position() == callStart;
        int failedAt = reader.position();
        at = none ? at : reader.position();
        state = calledInReasoning && result == CallReader.Result.FAILED ? State.REASONING : State.TEXT;
        if (result == CallReader.Result.DONE) {
            reasoningDone = true;
            searchFrom = at;
            textBegun = false;
            dropSpace = true;
        } else {
            searchFrom = Math.min(buffer.length(), failedAt + 1);
            dropSpace = false;
        }
        return true;
    }
}
