package dev.reprise.hub;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.regex.Pattern;

/** What names of repositories, revisions and files look like, before any of them becomes part of a path or a URL. */
public final class Names {
    private static final int MAX_REPOSITORY = 96;
    private static final int MAX_SEGMENT_BYTES = 255;
    private static final Pattern REPOSITORY_PART = Pattern.compile("[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?");
    private static final Pattern QUANT = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");
    private static final Pattern WINDOWS_DEVICE = Pattern.compile(
            "(?i)(?:CON|PRN|AUX|NUL|CONIN\\$|CONOUT\\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3])\\s*(?:\\..*)?");
    private static final String ODD = "<>:\"|?*\\";

    private Names() {}

    /** {@code OWNER/REPO} in front, or all, of {@code OWNER/REPO:QUANT}. */
    public static String repositoryOf(String name) {
        int colon = name.indexOf(':');
        return colon < 0 ? name : name.substring(0, colon);
    }

    /** What follows the colon of {@code OWNER/REPO:QUANT}; null where there is none. */
    public static String quantOf(String name) {
        int colon = name.indexOf(':');
        return colon < 0 ? null : name.substring(colon + 1);
    }

    /** Whether a text has the form {@code OWNER/REPO} or {@code OWNER/REPO:QUANT}, and is not that of a GGUF file. */
    public static boolean isName(String text) {
        String quant = quantOf(text);
        return isRepository(repositoryOf(text))
                && !repositoryOf(text).toLowerCase(Locale.ROOT).endsWith(".gguf")
                && (quant == null || QUANT.matcher(quant).matches());
    }

    /** By the hub's rules, which keep a name from being anything but a name. */
    public static boolean isRepository(String text) {
        String[] parts = text.split("/", -1);
        return parts.length == 2
                && text.length() <= MAX_REPOSITORY
                && REPOSITORY_PART.matcher(parts[0]).matches()
                && REPOSITORY_PART.matcher(parts[1]).matches()
                && !text.contains("--")
                && !text.contains("..")
                && !text.endsWith(".git");
    }

    public static boolean isQuant(String text) {
        return QUANT.matcher(text).matches();
    }

    /**
     * Refuses the name of a file or revision that could lead out of its folder, or cannot be written on some system.
     *
     * @param what what it names, for the message
     * @throws IllegalArgumentException if it is refused
     */
    public static String requirePath(String what, String name) {
        String wrong = wrongWith(name);
        if (wrong != null) {
            throw new IllegalArgumentException(what + " '" + printable(name) + "' is refused: " + wrong);
        }
        return name;
    }

    private static String wrongWith(String name) {
        if (name.isEmpty()) {
            return "it is empty";
        }
        for (String segment : name.split("/", -1)) {
            if (segment.isEmpty()) {
                return "it begins or ends with a slash, or has two in a row";
            } else if (segment.equals(".") || segment.equals("..")) {
                return "it leads out of its folder";
            } else if (segment.endsWith(".") || segment.endsWith(" ") || segment.startsWith(" ")) {
                return "a part of it begins with a space, or ends with a space or a dot";
            } else if (segment.codePoints().anyMatch(Names::isOdd)) {
                return "it has a character that is no part of file names everywhere";
            } else if (WINDOWS_DEVICE.matcher(segment).matches()) {
                return "it is the name of a device on Windows";
            } else if (segment.getBytes(StandardCharsets.UTF_8).length > MAX_SEGMENT_BYTES) {
                return "a part of it has more than " + MAX_SEGMENT_BYTES + " bytes";
            }
        }
        return null;
    }

    private static boolean isOdd(int c) {
        int type = Character.getType(c);
        return ODD.indexOf(c) >= 0 || Character.isISOControl(c) || type == Character.FORMAT
                || type == Character.SURROGATE || type == Character.LINE_SEPARATOR
                || type == Character.PARAGRAPH_SEPARATOR;
    }

    /** Text of a server for a message: in one line, of limited length, without what a terminal would act upon. */
    static String printable(String text) {
        int[] shown = text.codePoints().limit(300)
                .map(c -> Character.isISOControl(c) || Character.getType(c) == Character.FORMAT ? '?' : c)
                .toArray();
        return new String(shown, 0, shown.length);
    }
}
