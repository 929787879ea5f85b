package dev.reprise.chat;

import dev.reprise.ToolCall;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Derives an {@link AnswerFormat}: renders a template with an answer of text, of reasoning and of calls, and looks
 * where the texts that it knows stand. What it finds has to read back what the template wrote, or it is not used.
 */
final class FormatDeriver {
    private static final List<String> REASONING_KEYS = List.of("reasoning_content", "reasoning", "thinking");
    /** For templates that do not write reasoning: markers that their text or their beginning of an answer names. */
    private static final List<List<String>> KNOWN_REASONING = List.of(
            List.of("<think>", "</think>"), List.of("[THINK]", "[/THINK]"), List.of("<reasoning>", "</reasoning>"),
            List.of("<thinking>", "</thinking>"));

    private final TemplateProbe probe;
    private final String source;
    /** What the template puts where an answer begins. */
    private final String prompt;
    /** What it writes in front of and behind an answer of text. */
    private final String before;
    private final String behind;

    FormatDeriver(TemplateProbe probe, String source) {
        this.probe = probe;
        this.source = source;
        String begin = probe.behindUser(false, true, null);
        String plain = probe.behindUser(false, false, TemplateProbe.message("assistant", TemplateProbe.CONTENT));
        int at = plain == null ? -1 : plain.lastIndexOf(TemplateProbe.CONTENT);
        before = at >= 0 ? plain.substring(0, at) : begin == null ? "" : begin;
        behind = at >= 0 ? plain.substring(at + TemplateProbe.CONTENT.length()) : "";
        prompt = begin == null ? before : begin;
    }

    AnswerFormat derive() {
        AnswerFormat.Shape shape = new AnswerFormat.Shape(false, false, "reasoning_content", false);
        String reason = "the template writes no tool calls";
        for (AnswerFormat.Shape candidate : shapes()) {
            Calls calls = calls(candidate);
            if (calls.one == null) {
                continue;
            } else if (!probe.showsTools()) {
                reason = "the template does not tell of tools";
                break;
            }
            String key = reasoningKey(candidate);
            AnswerFormat.Shape found = new AnswerFormat.Shape(
                    candidate.argumentsAsText(), candidate.nullContent(), key, reasoningExcludesText(candidate, key));
            CallSyntax syntax;
            try {
                syntax = new SyntaxDeriver(calls.one, calls.two, calls.twoArguments, calls.number, calls.nested,
                        calls.list, calls.escape).derive();
            } catch (SyntaxDeriver.UnknownSyntaxException e) {
                reason = e.getMessage();
                continue;
            }
            AnswerFormat format =
                    new AnswerFormat(found, syntax, reasoning(found, calls), textPrefix(found, calls), "");
            String failure = calls.failure(format);
            if (failure == null) {
                return format;
            }
            reason = failure;
        }
        shape = new AnswerFormat.Shape(false, false, reasoningKey(shape), false);
        return new AnswerFormat(shape, null, reasoning(shape, null), textPrefix(shape, null), reason);
    }

    private static List<AnswerFormat.Shape> shapes() {
        List<AnswerFormat.Shape> shapes = new ArrayList<>();
        for (boolean asText : new boolean[] {false, true}) {
            for (boolean nullContent : new boolean[] {false, true}) {
                shapes.add(new AnswerFormat.Shape(asText, nullContent, "reasoning_content", false));
            }
        }
        return shapes;
    }

    // ---- calls -----------------------------------------------------------------------------------------------------

    /** What the template writes of calls, from where the answer begins to where its turn ends. */
    private final class Calls {
        final String one;
        final String two;
        final String twoArguments;
        final String none;
        final String number;
        final String nested;
        final String list;
        final String escape;
        /** What stands in front of them. */
        final String turn;

        Calls(AnswerFormat.Shape shape) {
            one = written(shape, first("{\"zqka\": \"zqval\"}"));
            if (one == null || !one.contains(TemplateProbe.VALUE)) {
                throw new IllegalStateException("no calls");
            }
            two = written(shape, first("{\"zqka\": \"zqval\"}"),
                    ToolCall.of(TemplateProbe.ID2, TemplateProbe.NAME2, "{\"zqka\": \"zqvbl\"}"));
            twoArguments = written(shape, first("{\"zqka\": \"zqval\", \"zqkb\": \"zqvbl\"}"));
            none = written(shape, first("{}"));
            number = written(shape, first("{\"zqka\": 7}"));
            nested = written(shape, first("{\"zqka\": {\"zqkb\": \"zqvbl\"}}"));
            list = written(shape, first("{\"zqka\": [\"zqvbl\"]}"));
            escape = written(shape, first(Json.write(Map.of(TemplateProbe.KEY, TemplateProbe.ESCAPE))));
            String whole =
                    probe.behindUser(true, false, TemplateProbe.calling(shape, "", first("{\"zqka\": \"zqval\"}")));
            turn = whole.substring(0, whole.indexOf(one));
        }

        /** Nothing is there. */
        Calls() {
            one = two = twoArguments = none = number = nested = list = escape = turn = null;
        }

        private ToolCall first(String arguments) {
            return ToolCall.of(TemplateProbe.ID, TemplateProbe.NAME, arguments);
        }

        /** What does not read back; null if all does. */
        String failure(AnswerFormat format) {
            List<List<String>> expected = List.of(
                    List.of(one, "zqfun{\"zqka\":\"zqval\"}"),
                    List.of(twoArguments == null ? "" : twoArguments, "zqfun{\"zqka\":\"zqval\",\"zqkb\":\"zqvbl\"}"),
                    List.of(none == null ? "" : none, "zqfun{}"),
                    List.of(bothNamed() ? two : "", "zqfun{\"zqka\":\"zqval\"}zqtwo{\"zqka\":\"zqvbl\"}"));
            for (List<String> pair : expected) {
                if (pair.get(0).isEmpty()) {
                    continue;
                }
                String read = read(format, pair.get(0));
                if (!read.equals(pair.get(1))) {
                    return "a call that the template wrote as " + pair.get(0).strip() + " reads back as " + read;
                }
            }
            return null;
        }

        boolean bothNamed() {
            return two != null && two.contains(TemplateProbe.NAME) && two.contains(TemplateProbe.NAME2);
        }

        private String read(AnswerFormat format, String written) {
            AnswerParser parser = format.parser("", TemplateProbe.TOOLS, 1);
            List<AnswerPart> parts = new ArrayList<>(parser.append(written));
            parts.addAll(parser.finish());
            StringBuilder read = new StringBuilder();
            for (AnswerPart part : parts) {
                if (part instanceof AnswerPart.CallEnd end) {
                    read.append(end.call().name()).append(Json.write(Json.parse(end.call().arguments())));
                } else if (part instanceof AnswerPart.Text text && !behindTurn(text.text())) {
                    read.append(text.text());
                }
            }
            return read.toString();
        }

        /** Whether it is what ends a turn, of which a model writes one token at most. */
        private boolean behindTurn(String text) {
            return text.isBlank() || behind.strip().endsWith(text.strip());
        }
    }

    private Calls calls(AnswerFormat.Shape shape) {
        try {
            return new Calls(shape);
        } catch (IllegalStateException e) {
            return new Calls();
        }
    }

    private String written(AnswerFormat.Shape shape, ToolCall... calls) {
        String text = probe.behindUser(true, false, TemplateProbe.calling(shape, "", calls));
        if (text == null || !text.contains(TemplateProbe.NAME)) {
            return null;
        }
        int turn = Math.min(Literals.commonStart(text, before).length(), Literals.commonStart(text, prompt).length());
        String answer = text.substring(text.startsWith(before) ? before.length() : turn);
        return !behind.isBlank() && answer.endsWith(behind)
                ? answer.substring(0, answer.length() - behind.length())
                : answer;
    }

    // ---- reasoning and text ----------------------------------------------------------------------------------------

    private String reasoned(String key, AnswerFormat.Shape shape, boolean call) {
        ToolCall one = ToolCall.of(TemplateProbe.ID, TemplateProbe.NAME, "{\"zqka\": \"zqval\"}");
        Map<String, Object> message = call
                ? TemplateProbe.calling(shape, "", one)
                : TemplateProbe.message("assistant", TemplateProbe.CONTENT);
        message.put(key, TemplateProbe.THOUGHT);
        String text = probe.behindUser(call, false, message);
        return text != null && text.contains(TemplateProbe.THOUGHT) ? text : null;
    }

    private String reasoningKey(AnswerFormat.Shape shape) {
        for (String key : REASONING_KEYS) {
            if (reasoned(key, shape, false) != null || reasoned(key, shape, true) != null) {
                return key;
            }
        }
        return "reasoning_content";
    }

    /** Some templates refuse a message of text, reasoning and calls. */
    private boolean reasoningExcludesText(AnswerFormat.Shape shape, String key) {
        ToolCall one = ToolCall.of(TemplateProbe.ID, TemplateProbe.NAME, "{\"zqka\": \"zqval\"}");
        Map<String, Object> message = TemplateProbe.calling(shape, TemplateProbe.CONTENT, one);
        boolean withoutReasoning = probe.behindUser(true, false, message) != null;
        message.put(key, TemplateProbe.THOUGHT);
        return withoutReasoning && probe.behindUser(true, false, message) == null;
    }

    private AnswerFormat.ReasoningSyntax reasoning(AnswerFormat.Shape shape, Calls calls) {
        String text = reasoned(shape.reasoningKey(), shape, false);
        String call = calls == null ? null : reasoned(shape.reasoningKey(), shape, true);
        String close = text == null ? null : between(text, TemplateProbe.THOUGHT, TemplateProbe.CONTENT);
        if (call != null) {
            String written = calls.one.stripLeading();
            int at = call.indexOf(TemplateProbe.THOUGHT) + TemplateProbe.THOUGHT.length();
            int next = call.indexOf(written.substring(0, Math.min(8, written.length())), at);
            String closeOfCall = next < 0 ? null : call.substring(at, next);
            close = close == null ? closeOfCall : closeOfCall == null ? close
                    : Literals.commonStart(close, closeOfCall);
        }
        if (close == null || close.isBlank()) {
            return known();
        }
        String written = text != null ? text : call;
        String end = close.strip();
        String open = written.substring(0, written.indexOf(TemplateProbe.THOUGHT)).stripTrailing();
        String turn = call == null ? commonTurn() : Literals.commonStart(commonTurn(), calls.turn);
        String opposite =
                end.startsWith("</") ? "<" + end.substring(2) : end.startsWith("[/") ? "[" + end.substring(2) : "";
        String begin = !opposite.isEmpty() && open.endsWith(opposite)
                ? opposite
                : open.substring(Literals.commonStart(open, turn).length()).strip();
        if (begin.isEmpty() && !opposite.isEmpty()) {
            begin = opposite;
        }
        return new AnswerFormat.ReasoningSyntax(begin, end, close);
    }

    private AnswerFormat.ReasoningSyntax known() {
        for (List<String> pair : KNOWN_REASONING) {
            if (source.contains(pair.get(1)) || prompt.stripTrailing().endsWith(pair.get(0))) {
                return new AnswerFormat.ReasoningSyntax(pair.get(0), pair.get(1), "\n" + pair.get(1) + "\n\n");
            }
        }
        return null;
    }

    private static String between(String text, String from, String to) {
        int start = text.indexOf(from) + from.length();
        int end = text.indexOf(to, start);
        return end < 0 ? null : text.substring(start, end);
    }

    /** What every answer begins with. */
    private String commonTurn() {
        return Literals.commonStart(before, prompt);
    }

    /** What text begins with where other answers do not: a channel, a recipient. */
    private String textPrefix(AnswerFormat.Shape shape, Calls calls) {
        String turn = commonTurn();
        String prefix = before.length() > turn.length() ? before.substring(turn.length()).stripLeading() : "";
        AnswerFormat.ReasoningSyntax syntax = prefix.isEmpty() ? null : reasoning(shape, calls);
        return syntax != null && prefix.contains(syntax.end()) ? "" : prefix;
    }
}
