package dev.reprise.chat;

import java.util.List;

/**
 * How a template writes tool calls: fixed texts around names, ids and arguments.
 *
 * <pre>
 * begin HEAD arguments (between HEAD arguments)* end
 * </pre>
 *
 * @param style how name and arguments are written
 * @param begin what the first call begins with; blank where an answer that is a call begins with it at once
 * @param head names, ids and fixed texts from there to the arguments; empty for {@link Style#CALL_JSON}
 * @param between from the arguments of a call to the head of the next; null if the template writes one call at most
 * @param end from the arguments of the last call to the end
 * @param json of {@link Style#CALL_JSON}, else null
 * @param tags of {@link Style#TAGS}, else null
 * @param quote of {@link Style#LITERAL} and {@link Style#KEYWORDS}: a quote of the template's own, or null
 * @param raw of {@link Style#KEYWORDS}: whether nothing is escaped in a text that is an argument, while it is in one
 *     within a list or an object
 */
record CallSyntax(Style style, String begin, List<Piece> head, String between, String end, JsonCall json, Tags tags,
        String quote, boolean raw) {
    /** How name and arguments are written. */
    enum Style {
        /** A JSON object, or a list of them, with name and arguments in it. */
        CALL_JSON,
        /** The arguments as a JSON object. */
        JSON,
        /** The arguments as an object that is not quite JSON. */
        LITERAL,
        /** The arguments as {@code (name=value, name=value)}. */
        KEYWORDS,
        /** Every argument between fixed texts of its own. */
        TAGS
    }

    /** A part of what stands between the beginning of a call and its arguments. */
    record Piece(Kind kind, String literal) {
        /** What a piece is. */
        enum Kind {
            LITERAL,
            NAME,
            ID,
            /** The number of the call, from 0 or 1. */
            INDEX
        }

        static Piece of(Kind kind) {
            return new Piece(kind, null);
        }

        static Piece literal(String text) {
            return new Piece(Kind.LITERAL, text);
        }
    }

    /**
     * Where name, arguments and id are in a call's JSON object, as keys from the outside in.
     *
     * @param list whether the calls are elements of a list
     * @param name null where the object's only key is the name and its value the arguments
     * @param id null if there is none
     */
    record JsonCall(boolean list, List<String> name, List<String> arguments, List<String> id) {}

    /**
     * Fixed texts around arguments: {@code nameEnd (open KEY keyEnd VALUE valueEnd)* (between | end)}. In valueEnd,
     * {@link #KEY} stands for the key.
     *
     * @param plainKeyEnd keyEnd in front of a value that is no string, where that differs; else null
     * @param nested whether objects and lists are written by the same texts again
     * @param item of nested ones: the key of a list's elements
     */
    record Tags(String nameEnd, String open, String keyEnd, String plainKeyEnd, String valueEnd, boolean nested,
            String item) {
        static final String KEY = "\u0001";
    }
}
